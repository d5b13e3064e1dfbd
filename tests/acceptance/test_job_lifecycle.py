"""The life of a job on a real stack, as the manual tells it: each action, each deadline, each reason."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.live import databases
from tests.live.stack import LiveStack, until

NOT_PICKED_UP = "Agent did not pick up job"


def dispatch(live: LiveStack, command: str, host: str = "host-1", **more: Any) -> int:
    payload = {"command": command, **more.pop("payload", {})}
    body = {"type": "command", "hosts": [host], "payload": payload, **more}
    answer = live.admin.post("/jobs", json=body)
    assert answer.status_code == 201, answer.text
    number: int = answer.json()["jobs"][0]
    return number


def job(live: LiveStack, number: int) -> dict[str, Any]:
    answer = live.admin.get(f"/jobs/{number}")
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


def wait(live: LiveStack, number: int, *statuses: str, seconds: float = 30) -> dict[str, Any]:
    until(lambda: job(live, number)["status"] in statuses, seconds, f"job {number} to be {statuses}")
    return job(live, number)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def stopped(live: LiveStack, process: str) -> Iterator[None]:
    """The agent is there and does nothing."""
    pid = live.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def cancelled_in(live: LiveStack, pids: Path) -> float:
    """Seconds from the cancel of a job until none of its three processes is left."""
    note = f"echo $! >> {pids}"
    number = dispatch(live, f"(setsid sleep 600 & {note}); sleep 600 & {note}; echo $$ >> {pids}; wait")
    wait(live, number, "running")
    until(lambda: pids.exists() and len(pids.read_text().split()) == 3, 10, "the tree to stand")
    tree = [int(pid) for pid in pids.read_text().split()]
    assert all(alive(pid) for pid in tree)
    before = time.monotonic()
    assert live.admin.post(f"/jobs/{number}/cancel").status_code == 200
    until(lambda: not any(alive(pid) for pid in tree), 5, "the tree to be gone")
    took = time.monotonic() - before
    assert wait(live, number, "cancelled")["reason"] == "Cancelled by admin."
    return took


def test_a_cancel_kills_the_whole_process_tree_within_a_second(live: LiveStack, tmp_path: Path) -> None:
    took = [cancelled_in(live, tmp_path / f"pids-{number}") for number in range(3)]
    assert sorted(took)[1] < 1, took


def test_a_retry_is_the_next_attempt_and_counted(live: LiveStack, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    number = dispatch(live, f"if [ -e {mark} ]; then echo good; else touch {mark}; echo bad >&2; exit 7; fi")
    first = wait(live, number, "failed")
    assert (first["exit_code"], first["reason"], first["stderr"]) == (7, "exit code 7", "bad\n")
    assert live.admin.post(f"/jobs/{number}/retry").json()["retry_count"] == 1
    again = wait(live, number, "completed")
    assert (again["retry_count"], again["stdout"], again["exit_code"]) == (1, "good\n", 0)
    assert [attempt["status"] for attempt in again["attempts"]] == ["failed", "completed"]


def test_a_job_that_runs_too_long_is_stopped_and_says_so(live: LiveStack) -> None:
    number = dispatch(live, "sleep 600", payload={"timeout_seconds": 1})
    ended = wait(live, number, "timeout")
    assert ended["reason"] == "It ran longer than its timeout of 1 seconds."


def test_twice_the_timeout_ends_a_job_whose_agent_says_nothing(live: LiveStack) -> None:
    agent = live.add_agent("host-silent")
    number = dispatch(live, "sleep 600", "host-silent", payload={"timeout_seconds": 3})
    wait(live, number, "running")
    with stopped(live, agent):
        ended = wait(live, number, "timeout")
        ran = datetime.fromisoformat(ended["ended_at"]) - datetime.fromisoformat(ended["started_at"])
        assert timedelta(seconds=6) <= ran < timedelta(seconds=16)
        assert ended["reason"] == "No result after 6 s, twice the timeout."


def test_a_job_nobody_picks_up_fails_with_the_manuals_words(live: LiveStack) -> None:
    live.call(live.stack.processes.remove(live.add_agent("host-deaf")))
    number = dispatch(live, "true", "host-deaf")
    databases.execute(
        live, "UPDATE jobs SET scheduled_at = now() - interval '31 minutes' WHERE id = $1", number
    )
    ended = wait(live, number, "failed")
    assert (ended["reason"], ended["attempts"][0]["reason"]) == (NOT_PICKED_UP, NOT_PICKED_UP)
    assert ended["agent_last_seen_at"] is not None


@pytest.mark.parametrize("hours", [-7, 0, 5.5])
def test_a_job_for_later_runs_then_in_whatever_zone_it_was_said(live: LiveStack, hours: float) -> None:
    due = datetime.now(timezone(timedelta(hours=hours))) + timedelta(seconds=4)
    number = dispatch(live, "true", scheduled_at=due.isoformat())
    waiting = job(live, number)
    assert waiting["status"] == "queued"
    assert waiting["waits"].startswith(f"Scheduled for {due.astimezone(UTC):%Y-%m-%d %H:%M} UTC, in ")
    ended = wait(live, number, "completed")
    late = datetime.fromisoformat(ended["started_at"]) - due
    assert timedelta(0) <= late < timedelta(seconds=8)


def test_a_job_says_what_the_agent_is_busy_with(live: LiveStack) -> None:
    live.add_agent("host-busy")
    running = [dispatch(live, "sleep 600", "host-busy") for _ in range(4)]
    for number in running:
        wait(live, number, "running")
    number = dispatch(live, "true", "host-busy")
    until(lambda: "is busy with" in (job(live, number)["waits"] or ""), 10, "the sentence")
    assert f"job {running[0]}, job {running[1]}, job {running[2]} and 1 more" in job(live, number)["waits"]
    for other in running:
        live.admin.post(f"/jobs/{other}/cancel")
    wait(live, number, "completed")


def test_only_a_job_that_has_ended_is_deleted(live: LiveStack) -> None:
    number = dispatch(live, "sleep 600")
    wait(live, number, "running")
    assert live.admin.delete(f"/jobs/{number}").status_code == 409
    live.admin.post(f"/jobs/{number}/cancel")
    wait(live, number, "cancelled")
    assert live.admin.delete(f"/jobs/{number}").status_code == 204
    assert live.admin.get(f"/jobs/{number}").status_code == 404


def test_an_agent_that_starts_anew_says_again_what_its_host_is(live: LiveStack) -> None:
    agent = live.add_agent("host-new")
    facts = live.host("host-new")["facts"]
    assert {"kernel", "interpreters", "cpus"} <= set(facts)
    child = live.stack.processes.child(agent)
    live.call(live.stack.processes.remove(agent))
    live.call(_forget_facts(live))
    assert live.host("host-new")["facts"] == {}
    live.call(live.stack.processes.start(child))
    until(lambda: live.host("host-new")["facts"] == facts, 30, "the facts to be told")
    assert live.host("host-new")["agent_version"]


async def _forget_facts(live: LiveStack) -> None:
    import asyncpg

    connection = await asyncpg.connect(live.stack.environment["OPSGATE_DATABASE_URL"])
    await connection.execute("UPDATE hosts SET facts = '{}' WHERE name = 'host-new'")
    await connection.close()


def test_decommissioning_fails_what_there_is_to_do_and_stops_what_runs(
    live: LiveStack, tmp_path: Path
) -> None:
    live.add_agent("host-retired")
    pid = tmp_path / "pid"
    running = dispatch(live, f"echo $$ > {pid}; sleep 600", "host-retired")
    wait(live, running, "running")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    waiting = dispatch(live, "true", "host-retired", scheduled_at=later)
    until(lambda: pid.exists() and pid.read_text().strip(), 10, "the process")
    gone = live.admin.delete("/hosts/host-retired").json()
    assert gone["failed_jobs"] == [running, waiting]
    for number in (running, waiting):
        ended = job(live, number)
        assert (ended["status"], ended["reason"]) == ("failed", "The host was decommissioned.")
    until(lambda: not alive(int(pid.read_text())), 40, "the agent to stop what it ran")
    assert live.admin.post(f"/jobs/{waiting}/retry").status_code == 409
