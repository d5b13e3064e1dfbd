"""What goes wrong around an instance ends in a clear error where the user looks, or it goes on."""

import signal
import time
from typing import Any

import pytest

from tests.acceptance.conftest import LEDGER_INPUT, Ledger, note
from tests.live.stack import LiveStack, until


def running_jobs(live: LiveStack, number: int) -> list[dict[str, Any]]:
    return [
        job for step in live.instance(number)["steps"] for job in step["jobs"] if job["status"] == "running"
    ]


def test_an_invalid_definition_is_refused_with_every_problem(live: LiveStack) -> None:
    steps = [
        {"id": "a", "type": "command", "comand": "ls", "on_success": "nowhere"},
        {"id": "a", "type": "nap"},
    ]
    answer = live.admin.post("/workflows/validate", json={"name": "bad", "steps": steps})
    problems = answer.json()["problems"]
    assert {"/steps/0/comand", "/steps/1/type"} <= {problem["pointer"] for problem in problems}
    assert all(problem["message"] and problem["fix"] for problem in problems)


def test_an_unknown_script_can_not_be_published(live: LiveStack) -> None:
    step = {"id": "a", "type": "script", "script": "never-written"}
    answer = live.admin.put(
        "/workflows/by-name/unknown-script",
        params={"publish": "true"},
        json={"name": "unknown-script", "steps": [step]},
    )
    assert answer.status_code == 422
    assert "never-written" in answer.text


@pytest.mark.parametrize("hosts", [[], ["tag:nobody-has-this"], ["never-enrolled"]])
def test_an_empty_or_unknown_target_set_is_refused(workflows: LiveStack, hosts: list[str]) -> None:
    answer = workflows.admin.post("/workflows/three/start", json={"hosts": hosts, "inputs": {"ledger": "x"}})
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_a_job_for_a_host_that_is_away_says_why_it_waits_and_goes_on(
    workflows: LiveStack, ledger: Ledger
) -> None:
    name = workflows.add_agent("host-away")
    workflows.call(workflows.stack.processes.replace(workflows.stack.processes.child(name)))
    pid = workflows.kill(name, signal.SIGSTOP)
    try:
        number = workflows.launch("three", ["host-away"], ledger=str(ledger.path))
        until(lambda: workflows.instance(number)["steps"], 60, "the step to wait")
        assert workflows.instance(number)["waits_for"]
        jobs = workflows.admin.get("/jobs", params={"instance": number}).json()["items"]
        assert jobs[0]["status"] == "pending" or "host-away" in jobs[0]["waits"]
    finally:
        workflows.kill(name, signal.SIGCONT)
    assert pid
    assert workflows.ended(number)["status"] == "completed"


def test_a_host_that_vanishes_mid_job_fails_the_step_and_never_repeats_it(
    workflows: LiveStack, ledger: Ledger
) -> None:
    name = workflows.add_agent("host-frail")
    number = workflows.launch("slow", ["host-frail"], ledger=str(ledger.path))
    until(lambda: running_jobs(workflows, number), 60, "the job to run")
    workflows.kill(name)
    ended = workflows.ended(number, 60)
    assert ended["status"] == "failed"
    assert "stopped or the host went down" in ended["reason"]
    time.sleep(4)
    assert ledger.lines() in ([], [f"{number} a"]), "the job must not have been run again"


def test_a_host_that_never_comes_back_times_the_job_out(live: LiveStack, ledger: Ledger) -> None:
    name = live.add_agent("host-gone")
    step = {**note("a", 60), "timeout_seconds": 2}
    live.publish({"name": "short", "inputs": LEDGER_INPUT, "steps": [step]})
    number = live.launch("short", ["host-gone"], ledger=str(ledger.path))
    until(lambda: running_jobs(live, number), 60, "the job to run")
    live.kill(name, signal.SIGSTOP)
    try:
        ended = live.ended(number, 40)
    finally:
        live.kill(name, signal.SIGCONT)
    assert ended["status"] == "failed"
    assert ended["steps"][0]["jobs"][0]["status"] == "timeout"


def test_postgresql_restarted_at_once_loses_nothing(workflows: LiveStack, ledger: Ledger) -> None:
    numbers = [workflows.launch("slow", ["host-1"], ledger=str(ledger.path)) for _ in range(3)]
    until(lambda: all(running_jobs(workflows, number) for number in numbers), 60, "the jobs to run")
    workflows.kill("postgres", signal.SIGQUIT)  # immediate shutdown: as a crash; the stack starts it again
    for number in numbers:
        assert workflows.ended(number, 90)["status"] == "completed"
    assert sorted(ledger.lines()) == sorted(f"{number} {step}" for number in numbers for step in "ab")


def test_prefect_stopped_for_a_minute_delays_and_loses_nothing(workflows: LiveStack, ledger: Ledger) -> None:
    waiting = workflows.launch("gated", ["host-1"], ledger=str(ledger.path))
    gate = workflows.gate(waiting)
    running = workflows.launch("slow", ["host-1"], ledger=str(ledger.path))
    until(lambda: workflows.instance(running)["steps"], 60, "the first step to begin")
    workflows.kill("prefect-server", signal.SIGSTOP)
    try:
        assert workflows.vote(gate).status_code == 200, "people can decide while the engine is away"
        started = workflows.launch("three", ["host-1"], ledger=str(ledger.path))
        time.sleep(60)
    finally:
        workflows.kill("prefect-server", signal.SIGCONT)
    for number in (waiting, running, started):
        assert workflows.ended(number, 150)["status"] == "completed"
    expected = (
        [f"{waiting} {s}" for s in "abc"]
        + [f"{running} {s}" for s in "ab"]
        + [f"{started} {s}" for s in "abc"]
    )
    assert sorted(ledger.lines()) == sorted(expected)
