"""Worker, web and agent are killed with `kill -9` at random, every 2 to 10 s, while instances run.

Every instance ends, no job runs twice, and a start that was cut off and asked for again has started one:
200 of them under `./run chaos`, six and three kills in the suite. One thread kills while another starts and
votes; web dies while it has that to answer. The long version has a wave over three hosts, a step that tries
again, and branches of which one is enough as well. An agent that is killed takes the job that it ran with
it; that instance fails, and says so. One that completed has run each of its steps once.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import FLEET, GATE, LEDGER_INPUT, Ledger, note, once
from tests.live.sizes import CHAOS, LIMIT_SECONDS, size
from tests.live.stack import Away, LiveStack, until

pytestmark = pytest.mark.timeout(LIMIT_SECONDS)

RUNS = int(os.environ.get("OPSGATE_STORM_RUNS") or size(6, 200))
"""By the environment fewer, on a machine that is too busy for all of them at a stretch."""
KILLS = size(3, 10_000)
"""Most kills; then the rest runs undisturbed."""
AT_ONCE = 6
PARTS = ("web", "worker", "agent-host-1")
PATIENCE_SECONDS = 3000 if CHAOS else 110
UNDER_WAY_SECONDS = 5
"""A start whose answer is not there and that has left no instance for so long, was cut off before it did."""
INPUTS = [*LEDGER_INPUT, {"name": "start", "type": "string", "required": True}]

STEPS = [
    note("a", 0.5),
    {"id": "pause", "type": "delay", "seconds": 1},
    {
        "id": "p",
        "type": "parallel",
        "branches": [{"steps": [note("b", 0.5)]}, {"steps": [GATE, note("c")]}],
    },
    note("z"),
]
MORE = [
    {**note("w"), "hosts": FLEET, "max_parallel": 1},
    {
        **note("r"),
        "command": f"{note('r')['command']}; {once('{{inputs.ledger}}.{{instance.id}}')}",
        "retries": 2,
        "retry_delay_seconds": 1,
    },
    {
        "id": "either",
        "type": "parallel",
        "join": "any",
        "branches": [{"steps": [note("f", 0.5)]}, {"steps": [note("s", 60)]}],
    },
]
JOBS = {"a", "b", "c", "z"} | ({"w", "r", "f"} if CHAOS else set())
MOST = {"w": len(FLEET), "r": 3}
"""How often a step may run: on every host of it once, or once an attempt; any other once."""
ENDED = {"completed", "failed"}


@dataclass
class Storm:
    """What has been started and killed so far."""

    live: LiveStack
    ledger: Ledger
    chance: random.Random
    started: dict[int, str] = field(default_factory=dict)
    """Of each instance its status when it was last looked at."""
    kills: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    """Answers that never came, and what became of starts."""
    tries: int = 0
    """How many keys the next start has used up."""
    cut_at: float | None = None
    """Since when it is known to have been cut off."""
    over: threading.Event = field(default_factory=threading.Event)
    posting: threading.Event = field(default_factory=threading.Event)
    """Web has a start or a vote to answer."""

    def open(self) -> list[int]:
        return [number for number, status in self.started.items() if status not in ENDED]

    @property
    def blown(self) -> bool:
        """Every part has been killed; until then something runs, however quick it is."""
        return self.kills.keys() >= set(PARTS)

    def kill(self) -> None:
        """Kill a part every few seconds until it is over, and have it started again."""
        while self.kills.total() < KILLS:
            fresh = [part for part in PARTS if part not in self.kills]
            part = fresh[0] if fresh else self.chance.choice(PARTS)
            if part == "web" and self.posting.wait(5):
                time.sleep(self.chance.uniform(0, 0.05))
            processes = self.live.stack.processes
            child = processes.child(part)
            if processes.pid(part) is not None:
                self.live.kill(part)
                self.kills[part] += 1
            # Not by the stack's own watch: it gives up what dies six times in two minutes.
            self.live.call(processes.replace(child))
            if self.over.wait(self.chance.uniform(2, 10)):
                return

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Web has this to answer; should it die over it, that is counted."""
        self.posting.set()
        try:
            yield
        except httpx2.ConnectError:
            raise  # it is dead already
        except httpx2.TransportError:
            self.lost[what] += 1
            raise
        finally:
            self.posting.clear()

    def start_one(self) -> None:
        """Start the next one, or find out what became of its start: by its key, or by its input."""
        mark = f"start {len(self.started):04}"
        body = {"hosts": ["host-1"], "inputs": {"ledger": str(self.ledger.path), "start": mark}}
        key = {"Idempotency-Key": f"{self.ledger.path} {mark} {self.tries}"}
        with self.asking("start"):
            answer = self.live.admin.post("/workflows/storm/start", json=body, headers=key)
        if answer.status_code == 409:
            assert "was cut off: look first" in answer.text
            self.look_for(mark)
            return
        assert answer.status_code in (201, 503), answer.text
        if answer.status_code == 201:
            self.lost["answered later"] += int("Idempotency-Replayed" in answer.headers)
            self.take(answer.json()["id"])

    def look_for(self, mark: str) -> None:
        """Take the instance of a start that was cut off; if there is none for a while, it may be started."""
        found = self.instances(mark)
        if found:
            self.lost["found"] += 1
            self.take(found[0])
        elif self.cut_at is None:
            self.cut_at = time.monotonic()
        elif time.monotonic() > self.cut_at + UNDER_WAY_SECONDS:
            self.lost["started again"] += 1
            self.tries, self.cut_at = self.tries + 1, None

    def instances(self, mark: str) -> list[int]:
        """Those that have this input."""
        answer = self.live.admin.get("/instances", params={"workflow": "storm", "search": mark})
        if answer.status_code == 503:
            raise Away(answer.text)
        return [row["id"] for row in answer.json()["items"]]

    def take(self, number: int) -> None:
        self.started[number] = "queued"
        self.tries, self.cut_at = 0, None

    def look(self) -> None:
        """See how those that are open stand, and decide at their gates."""
        for number in self.open():
            view = self.live.instance(number)
            self.started[number] = view["status"]
            for request in view["approvals"]:
                if request["status"] == "pending":
                    gate = self.live.bob.get(f"/approvals/{request['id']}").json()
                    with self.asking("vote"):
                        self.live.vote(gate)

    def turn(self) -> None:
        try:
            if len(self.open()) < AT_ONCE and (len(self.started) < RUNS or not (self.blown or self.open())):
                self.start_one()
            self.look()
        except (httpx2.TransportError, Away, KeyError):
            pass  # web is being killed, or a gate was decided meanwhile
        time.sleep(0.1)

    def blow(self) -> None:
        """Until all that was to be started has ended, and every part was killed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with ThreadPoolExecutor(1) as pool:
            killing = pool.submit(self.kill)
            try:
                while len(self.started) < RUNS or self.open() or not self.blown:
                    if time.monotonic() > deadline or (killing.done() and killing.exception()):
                        break
                    self.turn()
            finally:
                self.over.set()
        killing.result()


def ran(ledger: Ledger) -> Counter[tuple[int, str]]:
    """How often each step of each instance ran."""
    return Counter((int(line.split()[0]), line.split()[1]) for line in ledger.lines())


@pytest.fixture
def hosts(request: pytest.FixtureRequest) -> LiveStack:
    """With as many hosts as the steps need."""
    stack: LiveStack = request.getfixturevalue("fleet" if CHAOS else "live")
    return stack


def test_everything_ends_and_nothing_runs_twice(hosts: LiveStack, ledger: Ledger) -> None:
    live = hosts
    seed = random.randrange(2**32)
    live.publish({"name": "storm", "inputs": INPUTS, "steps": STEPS + (MORE if CHAOS else [])})
    storm = Storm(live, ledger, random.Random(seed))
    storm.blow()
    print(f"seed {seed}: {storm.kills}, {storm.lost}, {Counter(storm.started.values())}")
    until(lambda: storm.instances("start "), 60, "web to answer")
    for number in range(len(storm.started)):
        assert len(storm.instances(f"start {number:04}")) == 1, f"seed {seed}: a start has started two"
    times = ran(ledger)
    twice = {which: n for which, n in times.items() if n > MOST.get(which[1], 1)}
    assert not twice, f"seed {seed}: {twice}"
    for number, status in storm.started.items():
        if status not in ENDED:
            continue
        steps = {step for instance, step in times if instance == number}
        if status == "completed":
            assert steps - {"s"} == JOBS
            assert times[number, "w"] in (0, len(FLEET)), f"seed {seed}: {times}"
        else:
            assert interrupted(live, number), f"seed {seed}: {live.instance(number)}"
    ended = len(storm.started) >= RUNS and not storm.open()
    assert ended, f"seed {seed}, too slow: {views(storm)}"


def interrupted(live: LiveStack, number: int) -> bool:
    """Whether a job of an instance was lost with its agent."""
    jobs: list[dict[str, Any]] = live.admin.get("/jobs", params={"instance": number}).json()["items"]
    assert {job["attempt"] for job in jobs if job["step_id"] != "r"} == {1}
    return any(job["status"] == "failed" for job in jobs)


def views(storm: Storm) -> list[dict[str, Any]]:
    return [storm.live.instance(number) for number in storm.open()]
