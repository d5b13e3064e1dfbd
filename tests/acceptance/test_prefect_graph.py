"""What Prefect shows of an instance: its steps by name and state, connected, and the way back to our page."""

from typing import Any

import httpx2

from tests.acceptance.conftest import GATE, LEDGER_INPUT, Ledger, note
from tests.live.stack import LiveStack, until

Graph = dict[str, set[str]]


def graph(prefect: httpx2.Client, run: str) -> Graph:
    """Of each step with its state those it comes after: itself, where it has parked between."""
    nodes = prefect.get(f"/flow_runs/{run}/graph-v2").json()["nodes"]
    labels = {key: node["label"] for key, node in nodes}
    found: Graph = {}
    for _, node in nodes:
        parents = {labels[parent["id"]] for parent in node["parents"]}
        found.setdefault(f"{node['label']} {node['state_type']}", set()).update(parents)
    return found


def run_of(live: LiveStack, ledger: Ledger, name: str, *steps: dict[str, Any], vote: bool = False) -> str:
    """Run a workflow to its end; its flow run in Prefect."""
    live.publish({"name": name, "inputs": LEDGER_INPUT, "steps": list(steps)})
    number = live.launch(name, ["host-1"], ledger=str(ledger.path))
    if vote:
        live.vote(live.gate(number))
    run: str = live.ended(number)["flow_run_id"]
    return run


def test_branches_are_drawn_apart_and_joined_across_a_suspension(live: LiveStack, ledger: Ledger) -> None:
    branches = [{"steps": [note("b")]}, {"steps": [GATE, note("c")]}]
    fork = {"id": "p", "type": "parallel", "branches": branches}
    run = run_of(live, ledger, "drawn", note("a"), fork, note("z"), vote=True)
    expected = {
        "a COMPLETED": set(),
        "p COMPLETED": {"a", "p"},
        "b COMPLETED": {"p"},
        "gate COMPLETED": {"p", "gate"},
        "c COMPLETED": {"gate"},
        "z COMPLETED": {"p", "b", "c"},
    }
    with live.prefect() as prefect:
        until(lambda: graph(prefect, run) == expected, 60, f"the graph, which is {graph(prefect, run)}")


def test_what_runs_after_a_failure_is_drawn_after_the_step_that_failed(
    live: LiveStack, ledger: Ledger
) -> None:
    bad = {"id": "bad", "type": "command", "command": "exit 3", "on_failure": "mend"}
    skipped, mend = note("skipped"), {**note("mend"), "on_success": "fail"}
    run = run_of(live, ledger, "drawn-failure", note("a"), bad, skipped, mend)
    expected = {"a COMPLETED": set(), "bad FAILED": {"a"}, "mend COMPLETED": {"bad"}}
    with live.prefect() as prefect:
        until(lambda: graph(prefect, run) == expected, 60, "the graph")
        until(lambda: prefect.get(f"/flow_runs/{run}").json()["state"]["type"] == "FAILED", 60, "the state")


def test_the_run_leads_back_to_the_page_of_its_instance(live: LiveStack, ledger: Ledger) -> None:
    live.publish({"name": "linked", "inputs": LEDGER_INPUT, "steps": [note("a")]})
    number = live.launch("linked", ["host-1"], ledger=str(ledger.path))
    run = live.ended(number)["flow_run_id"]
    body = {"artifacts": {"flow_run_id": {"any_": [run]}}}
    with live.prefect() as prefect:
        until(lambda: prefect.post("/artifacts/filter", json=body).json(), 30, "the link")
        (artifact,) = prefect.post("/artifacts/filter", json=body).json()
    assert artifact["data"] == f"[Open in Opsgate]({live.stack.url}/instances/{number})"


def test_a_description_is_shown_as_it_was_written_and_leads_nowhere(live: LiveStack) -> None:
    wait = {"id": "wait", "type": "delay", "minutes": 1}
    live.publish({"name": "told", "description": "*All* [here](https://evil.example)", "steps": [wait]})
    with live.prefect() as prefect:
        path = "/deployments/name/told/opsgate"
        until(lambda: prefect.get(path).status_code == 200, 30, "the deployment")
        shown = prefect.get(path).json()["description"]
    assert shown.replace("\\", "").replace("\u2060", "") == "*All* [here](https://evil.example)"
    assert "https://" not in shown
    assert "*All*" not in shown
