"""Worker, web and agent are killed with `kill -9` at random, every 2 to 10 s, while instances run.

Every instance ends, and no job runs twice: 200 of them under `./run chaos`, six and three kills in the
suite. The long version has a wave over three hosts, a step that tries again, and branches of which one is
enough as well. An agent that is killed takes the job that it ran with it; that instance fails, and says so.
One that completed has run each of its steps once.
"""

import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import FLEET, GATE, LEDGER_INPUT, Ledger, note, once
from tests.live.sizes import CHAOS, LIMIT_SECONDS, size
from tests.live.stack import Away, LiveStack

pytestmark = pytest.mark.timeout(LIMIT_SECONDS)

RUNS = int(os.environ.get("OPSGATE_STORM_RUNS") or size(6, 200))
"""By the environment fewer, on a machine that is too busy for all of them at a stretch."""
KILLS = size(3, 10_000)
"""Most kills; then the rest runs undisturbed."""
AT_ONCE = 6
PARTS = ("worker", "web", "agent-host-1")
PATIENCE_SECONDS = 3000 if CHAOS else 110

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
    next_kill: float = 0.0

    def open(self) -> list[int]:
        return [number for number, status in self.started.items() if status not in ENDED]

    @property
    def blown(self) -> bool:
        """Every part has been killed; until then something runs, however quick it is."""
        return self.kills.keys() >= set(PARTS)

    def blow(self) -> None:
        """Kill a part if it is time, and have it started again."""
        if time.monotonic() < self.next_kill or self.kills.total() >= KILLS:
            return
        part = PARTS[self.kills.total()] if self.kills.total() < len(PARTS) else self.chance.choice(PARTS)
        processes = self.live.stack.processes
        child = processes.child(part)
        if processes.pid(part) is not None:
            self.live.kill(part)
            self.kills[part] += 1
        # Not by the stack's own watch: it gives up what dies six times in two minutes.
        self.live.call(processes.replace(child))
        self.next_kill = time.monotonic() + self.chance.uniform(2, 10)

    def start_one(self) -> None:
        body = {"hosts": ["host-1"], "inputs": {"ledger": str(self.ledger.path)}}
        key = {"Idempotency-Key": f"{self.ledger.path} {len(self.started)}"}
        answer = self.live.admin.post("/workflows/storm/start", json=body, headers=key)
        assert answer.status_code in (201, 503), answer.text
        if answer.status_code == 201:
            self.started[answer.json()["id"]] = "queued"

    def look(self) -> None:
        """See how those that are open stand, and decide at their gates."""
        for number in self.open():
            view = self.live.instance(number)
            self.started[number] = view["status"]
            for request in view["approvals"]:
                if request["status"] == "pending":
                    self.live.vote(self.live.bob.get(f"/approvals/{request['id']}").json())

    def turn(self) -> None:
        self.blow()
        try:
            if len(self.open()) < AT_ONCE and (len(self.started) < RUNS or not (self.blown or self.open())):
                self.start_one()
            self.look()
        except (httpx2.TransportError, Away, KeyError):
            pass  # web is being killed, or a gate was decided meanwhile
        time.sleep(0.1)


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
    live.publish({"name": "storm", "inputs": LEDGER_INPUT, "steps": STEPS + (MORE if CHAOS else [])})
    storm = Storm(live, ledger, random.Random(seed))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (len(storm.started) < RUNS or storm.open() or not storm.blown) and time.monotonic() < deadline:
        storm.turn()
    print(f"seed {seed}: {storm.kills}, {Counter(storm.started.values())}")
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
