"""Whoever reaches Prefect's API can wake a flow, not pass a gate."""

import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import Ledger
from tests.live.stack import LiveStack, until

Attack = Callable[[httpx2.Client, str], httpx2.Response]


def resume(prefect: httpx2.Client, run: str) -> httpx2.Response:
    answer = {"run_input": {"decision": "approve", "comment": "forged"}}
    return prefect.post(f"/flow_runs/{run}/resume", json=answer)


def bare_resume(prefect: httpx2.Client, run: str) -> httpx2.Response:
    return prefect.post(f"/flow_runs/{run}/resume", json={})


def set_scheduled(prefect: httpx2.Client, run: str) -> httpx2.Response:
    return prefect.post(f"/flow_runs/{run}/set_state", json={"state": {"type": "SCHEDULED"}, "force": True})


def set_running(prefect: httpx2.Client, run: str) -> httpx2.Response:
    return prefect.post(f"/flow_runs/{run}/set_state", json={"state": {"type": "RUNNING"}, "force": True})


def set_completed(prefect: httpx2.Client, run: str) -> httpx2.Response:
    return prefect.post(f"/flow_runs/{run}/set_state", json={"state": {"type": "COMPLETED"}, "force": True})


def cancel(prefect: httpx2.Client, run: str) -> httpx2.Response:
    return prefect.post(f"/flow_runs/{run}/set_state", json={"state": {"type": "CANCELLING"}, "force": True})


def delete(prefect: httpx2.Client, run: str) -> httpx2.Response:
    return prefect.delete(f"/flow_runs/{run}")


ATTACKS: list[Attack] = [resume, bare_resume, set_scheduled, set_running, set_completed, cancel, delete]


class Attacked:
    """A gated instance, attacked once through Prefect's API."""

    def __init__(self, live: LiveStack, ledger: Ledger, attack: Attack) -> None:
        self.ledger = ledger
        self.number = live.launch("gated", ["host-1"], ledger=str(ledger.path))
        self.gate = live.gate(self.number)
        run = live.instance(self.number)["flow_run_id"]
        with live.prefect() as prefect:
            until(lambda: state(prefect, run) == "PAUSED", 60, "Prefect's run to be suspended")
            assert attack(prefect, run).status_code < 500


@pytest.fixture(scope="module")
def attacked(workflows: LiveStack, tmp_path_factory: pytest.TempPathFactory) -> dict[Attack, Attacked]:
    """One instance per attack; all have had time to fall for it."""
    folder = tmp_path_factory.mktemp("forged")
    victims = {attack: Attacked(workflows, Ledger(folder / attack.__name__), attack) for attack in ATTACKS}
    time.sleep(5)
    return victims


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_prefect_can_not_open_a_gate(
    workflows: LiveStack, attacked: dict[Attack, Attacked], attack: Attack
) -> None:
    victim = attacked[attack]
    number = victim.number
    assert victim.ledger.lines() == [f"{number} a"], "something behind the gate ran"
    assert workflows.instance(number)["ended_at"] is None
    assert workflows.bob.get(f"/approvals/{victim.gate['id']}").json()["status"] == "pending"

    assert workflows.vote(victim.gate).status_code == 200
    assert workflows.ended(number, 60)["status"] == "completed"
    assert victim.ledger.lines() == [f"{number} a", f"{number} b", f"{number} c"]


def state(prefect: httpx2.Client, run: str) -> Any:
    return prefect.get(f"/flow_runs/{run}").json()["state"]["type"]


def test_an_instance_goes_on_when_its_deployment_was_deleted_in_prefect(
    workflows: LiveStack, ledger: Ledger
) -> None:
    number = workflows.launch("gated", ["host-1"], ledger=str(ledger.path))
    gate = workflows.gate(number)
    run = workflows.instance(number)["flow_run_id"]
    with workflows.prefect() as prefect:
        until(lambda: state(prefect, run) == "PAUSED", 60, "Prefect's run to be suspended")
        deployment = prefect.get(f"/flow_runs/{run}").json()["deployment_id"]
        assert prefect.delete(f"/deployments/{deployment}").status_code == 204
    assert workflows.vote(gate).status_code == 200
    assert workflows.ended(number, 60)["status"] == "completed"
    assert ledger.lines() == [f"{number} a", f"{number} b", f"{number} c"]


def test_a_run_made_by_hand_in_prefect_is_refused(workflows: LiveStack, ledger: Ledger) -> None:
    number = workflows.launch("gated", ["host-1"], ledger=str(ledger.path))
    workflows.gate(number)
    with workflows.prefect() as prefect:
        deployment = prefect.get(f"/flow_runs/{workflows.instance(number)['flow_run_id']}").json()[
            "deployment_id"
        ]
        forged = prefect.post(
            f"/deployments/{deployment}/create_flow_run",
            json={"parameters": {"instance_id": number}, "state": {"type": "SCHEDULED"}},
        ).json()
        until(lambda: state(prefect, forged["id"]) == "CANCELLED", 30, "the forged run to be refused")
    assert workflows.instance(number)["status"] == "paused"
    assert ledger.lines() == [f"{number} a"]
