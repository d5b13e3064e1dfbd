"""Branches side by side on real processes: they run together, join, and what is not wanted is stopped."""

import time
from typing import Any

from tests.acceptance.conftest import GATE, LEDGER_INPUT, Ledger, note
from tests.live.stack import LiveStack, until


def parallel(*branches: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    named = [{"name": f"way {number}", "steps": steps} for number, steps in enumerate(branches, 1)]
    return {"id": "p", "type": "parallel", "branches": named, **more}


def start(live: LiveStack, ledger: Ledger, name: str, *steps: dict[str, Any]) -> int:
    live.publish({"name": name, "inputs": LEDGER_INPUT, "steps": list(steps)})
    return live.launch(name, ["host-1"], ledger=str(ledger.path))


def names(ledger: Ledger) -> list[str]:
    return [line.split()[1] for line in ledger.lines()]


def statuses(live: LiveStack, number: int) -> dict[str, str]:
    return {step["step_id"]: step["status"] for step in live.instance(number)["steps"]}


def test_all_branches_run_and_then_the_workflow_goes_on(live: LiveStack, ledger: Ledger) -> None:
    number = start(
        live, ledger, "par-all", note("a"), parallel([note("b", 1), note("c")], [note("d")]), note("z")
    )
    assert live.ended(number, 60)["status"] == "completed"
    ran = names(ledger)
    assert sorted(ran) == ["a", "b", "c", "d", "z"]
    assert (ran[0], ran[-1]) == ("a", "z")
    assert ran.index("d") < ran.index("b"), "the quick branch waited for the slow one"


def test_a_failed_branch_fails_the_step_when_all_are_wanted(live: LiveStack, ledger: Ledger) -> None:
    bad = {"id": "bad", "type": "command", "command": "exit 3"}
    mend = {**note("mend"), "on_success": "fail"}
    steps = [parallel([bad], [note("good")], on_failure="mend"), note("z"), mend]
    number = start(live, ledger, "par-fail", *steps)
    assert live.ended(number, 60)["status"] == "failed"
    assert sorted(names(ledger)) == ["good", "mend"]
    reason = live.instance(number)["reason"]
    assert reason.startswith("bad:")


def test_with_any_the_first_wins_and_the_rest_is_stopped_on_its_host(live: LiveStack, ledger: Ledger) -> None:
    slow = parallel([note("quick")], [note("slow", 20)], [{**GATE, "id": "ask"}], join="any")
    number = start(live, ledger, "par-any", slow, note("z"))
    begun = time.monotonic()
    assert live.ended(number, 60)["status"] == "completed"
    assert time.monotonic() - begun < 20, "it waited for the slow branch"
    assert names(ledger) == ["quick", "z"]
    found = statuses(live, number)
    assert (found["slow"], found["ask"], found["p"]) == ("cancelled", "cancelled", "completed")
    jobs = live.admin.get("/jobs", params={"instance": number}).json()["items"]
    slow_job = next(job for job in jobs if job["step_id"] == "slow")
    until(lambda: live.admin.get(f"/jobs/{slow_job['id']}").json()["status"] == "cancelled", 20, "its end")
    requests = live.bob.get("/approvals", params={"status": "withdrawn"}).json()["items"]
    assert number in [request["instance_id"] for request in requests]


def test_a_gate_in_a_branch_holds_back_that_branch_alone(live: LiveStack, ledger: Ledger) -> None:
    gated = parallel([GATE, note("behind")], [note("beside"), note("after")])
    number = start(live, ledger, "par-gate", gated, note("z"))
    gate = live.gate(number)
    until(lambda: sorted(names(ledger)) == ["after", "beside"], 30, "the branch beside the gate")
    until(lambda: live.instance(number)["status"] == "paused", 30, "only the gate to be left")
    assert live.vote(gate).status_code == 200
    assert live.ended(number, 60)["status"] == "completed"
    assert names(ledger)[2:] == ["behind", "z"]


def test_two_gates_are_open_at_once_and_decided_in_any_order(live: LiveStack, ledger: Ledger) -> None:
    gates = [{**GATE, "id": name, "title": f"Gate {name}?"} for name in ("one", "two")]
    steps = parallel([gates[0], note("b")], [gates[1], note("c")])
    number = start(live, ledger, "par-gates", steps, note("z"))

    def pending() -> dict[str, Any]:
        found = live.bob.get("/approvals", params={"status": "pending"}).json()["items"]
        return {each["step_id"]: each for each in found if each["instance_id"] == number}

    until(lambda: set(pending()) == {"one", "two"}, 30, "both gates")
    assert live.vote(live.bob.get(f"/approvals/{pending()['two']['id']}").json()).status_code == 200
    until(lambda: names(ledger) == ["c"], 30, "the branch of the decided gate")
    assert live.vote(live.bob.get(f"/approvals/{pending()['one']['id']}").json()).status_code == 200
    assert live.ended(number, 60)["status"] == "completed"
    assert names(ledger) == ["c", "b", "z"]


def test_prefect_shows_branches_as_branches(live: LiveStack, ledger: Ledger) -> None:
    number = start(live, ledger, "par-graph", note("a"), parallel([note("b")], [note("c")]), note("z"))
    assert live.ended(number, 60)["status"] == "completed"
    run = live.instance(number)["flow_run_id"]
    with live.prefect() as prefect:

        def edges() -> set[tuple[str, str]]:
            nodes = dict(prefect.get(f"/flow_runs/{run}/graph-v2").json()["nodes"])
            return {
                (nodes[parent["id"]]["label"], node["label"])
                for node in nodes.values()
                for parent in node["parents"]
            }

        wanted = {("a", "p"), ("p", "b"), ("p", "c"), ("b", "z"), ("c", "z"), ("p", "z")}
        until(lambda: edges() >= wanted, 20, f"the graph's edges, now {edges()}")
