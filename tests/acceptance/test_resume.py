"""Instances that go on after they failed or were cancelled, on real processes."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import GATE, MENDED_INPUT, Ledger, breaks, note
from tests.live.stack import LiveStack, until


def start(live: LiveStack, ledger: Ledger, name: str, *steps: dict[str, Any], **more: Any) -> int:
    live.publish({"name": name, "inputs": MENDED_INPUT, "steps": list(steps), **more})
    return live.launch(name, ["host-1"], ledger=str(ledger.path), mended=str(mended(ledger)))


def mended(ledger: Ledger) -> Path:
    return ledger.path.with_name("mended")


def resume(live: LiveStack, number: int) -> dict[str, Any]:
    answer = live.admin.post(f"/instances/{number}/resume")
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


def names(ledger: Ledger) -> list[str]:
    return [line.split()[1] for line in ledger.lines()]


def test_it_goes_on_at_the_failed_step_and_repeats_nothing_before_it(live: LiveStack, ledger: Ledger) -> None:
    said = {"id": "said", "type": "command", "command": "echo said"}
    outputs = {"what": "{{step_said.stdout}}", "when": "{{step_b.exit_code}}"}
    number = start(live, ledger, "res-line", said, note("a"), breaks("b"), note("c"), outputs=outputs)
    failed = live.ended(number)
    assert (failed["status"], failed["outputs"]) == ("failed", None)
    mended(ledger).touch()
    resume(live, number)
    ended = live.ended(number)
    assert (ended["status"], ended["outputs"]) == ("completed", {"what": "said", "when": 0}), ended["reason"]
    assert names(ledger) == ["a", "b", "b", "c"]
    assert [(step["step_id"], step["visit"]) for step in ended["steps"]][2:] == [("b", 1), ("b", 2), ("c", 2)]
    assert live.admin.post(f"/instances/{number}/resume").status_code == 409
    assert ended["flow_run_id"] == failed["flow_run_id"], "it goes on in the run it had"
    with live.prefect() as prefect:

        def edges() -> set[tuple[str, str]]:
            nodes = dict(prefect.get(f"/flow_runs/{ended['flow_run_id']}/graph-v2").json()["nodes"])
            return {
                (nodes[parent["id"]]["label"], node["label"])
                for node in nodes.values()
                for parent in node["parents"]
            }

        until(
            lambda: edges() >= {("a", "b"), ("b", "b"), ("b", "c")}, 20, f"the graph's edges, now {edges()}"
        )
        run = prefect.get(f"/flow_runs/{ended['flow_run_id']}").json()
    assert run["state"]["type"] == "COMPLETED"


def test_only_the_failed_branch_goes_on_and_its_gate_asks_again(live: LiveStack, ledger: Ledger) -> None:
    branches = [
        {"name": "good", "steps": [note("good")]},
        {"name": "bad", "steps": [GATE, note("x"), breaks("y")]},
        {"name": "refused", "steps": [{**GATE, "id": "ask"}, note("z")]},
    ]
    fork = {"id": "p", "type": "parallel", "branches": branches}
    number = start(live, ledger, "res-branches", fork, note("last"))
    decide(live, number, {"gate": "approve", "ask": "reject"})
    assert live.ended(number)["status"] == "failed"
    mended(ledger).touch()
    resume(live, number)
    decide(live, number, {"ask": "approve"})
    ended = live.ended(number)
    assert ended["status"] == "completed", ended["reason"]
    ran = names(ledger)
    assert (sorted(ran), ran[-1]) == (["good", "last", "x", "y", "y", "z"], "last")


def decide(live: LiveStack, number: int, decisions: dict[str, str]) -> None:
    """Vote at every gate named, once all of them are open."""

    def pending() -> dict[str, Any]:
        return {each["step_id"]: each for each in live.instance(number)["approvals"]}

    until(lambda: pending().keys() == decisions.keys(), 30, f"the gates {set(decisions)}", live, number)
    for step_id, request in pending().items():
        gate = live.bob.get(f"/approvals/{request['id']}").json()
        assert live.vote(gate, decisions[step_id]).status_code == 200


@pytest.fixture
def under_way(live: LiveStack, ledger: Ledger) -> int:
    """An instance that waits for a job, a gate and a delay at once."""
    branches = [
        {"name": "job", "steps": [note("quick"), note("slow", 60), note("never")]},
        {"name": "gate", "steps": [GATE, note("behind")]},
        {"name": "delay", "steps": [{"id": "wait", "type": "delay", "hours": 1}, note("after")]},
    ]
    number = start(live, ledger, "res-cancel", {"id": "p", "type": "parallel", "branches": branches})

    def all_wait() -> bool:
        open_steps = {step["step_id"] for step in live.instance(number)["steps"] if not step["ended_at"]}
        jobs = live.admin.get("/jobs", params={"instance": number, "status": "running"}).json()["items"]
        return open_steps == {"p", "slow", "gate", "wait"} and [job["step_id"] for job in jobs] == ["slow"]

    until(all_wait, 60, "a job, a gate and a delay", live, number)
    return number


def test_cancelling_stops_jobs_gates_and_delays_within_a_moment(live: LiveStack, under_way: int) -> None:
    request = live.instance(under_way)["approvals"][0]["id"]
    begun = time.monotonic()
    assert live.admin.post(f"/instances/{under_way}/cancel", json={"reason": "wrong day"}).status_code == 200

    def jobs() -> list[str]:
        found = live.admin.get("/jobs", params={"instance": under_way}).json()["items"]
        return [job["status"] for job in found]

    ended = live.ended(under_way)
    until(lambda: sorted(jobs()) == ["cancelled", "completed"], 30, "the job to stop on its host")
    took = time.monotonic() - begun
    print(f"cancelled with its job, gate and delay in {took:.2f} s")
    assert took < 10, "it waited for what it stops"
    assert (ended["status"], ended["reason"]) == ("cancelled", "Cancelled by admin: wrong day")
    assert live.bob.get(f"/approvals/{request}").json()["status"] == "withdrawn"
    states = {step["step_id"]: step["status"] for step in ended["steps"]}
    assert {states[name] for name in ("p", "slow", "gate", "wait")} == {"cancelled"}
