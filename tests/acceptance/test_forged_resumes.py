"""Whoever reaches Prefect's API can wake a flow, not pass a gate: of no type, and not if one vote lacks."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import GATE, LEDGER_INPUT, Ledger, note
from tests.live.sizes import LIMIT_SECONDS, size
from tests.live.stack import LiveStack, until

TIMES = size(1, 100)
"""How often each attack is made, over the types in turn."""
NEEDED = {"singular": 1, "one_of_many": 1, "two_of_many": 2, "all": 3, "majority": 2}
"""Votes of the three people who are asked, by type; of one where one decides."""
SIGNERS = ("sue", "sid")

pytestmark = pytest.mark.timeout(LIMIT_SECONDS)

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


def resume_20_at_once(prefect: httpx2.Client, run: str) -> httpx2.Response:
    with ThreadPoolExecutor(20) as pool:
        return max(pool.map(lambda _: resume(prefect, run), range(20)), key=lambda answer: answer.status_code)


def flip_the_stored_input(prefect: httpx2.Client, run: str) -> httpx2.Response:
    """A no by Prefect's form, in whose place a yes is put before the flow reads it, and once more after."""
    key = prefect.get(f"/flow_runs/{run}").json()["state"]["state_details"]["run_input_keyset"]["response"]
    refused = {"run_input": {"decision": "reject", "comment": "no"}}
    answer = prefect.post(f"/flow_runs/{run}/resume", json=refused)
    flipped = json.dumps({"decision": "approve", "comment": "forged"})
    for _ in range(2):
        prefect.delete(f"/flow_runs/{run}/input/{key}")
        posted = prefect.post(f"/flow_runs/{run}/input", json={"key": key, "value": flipped})
        assert posted.status_code == 201, posted.text
    return answer


ATTACKS: list[Attack] = [
    resume,
    bare_resume,
    resume_20_at_once,
    set_scheduled,
    set_running,
    set_completed,
    cancel,
    delete,
    flip_the_stored_input,
]


@pytest.fixture(scope="module")
def people(workflows: LiveStack) -> Iterator[list[httpx2.Client]]:
    """Bob and the signers: who is asked at every gate here, unless one person decides alone."""
    admin = workflows.admin
    role = {"permissions": ["workflows.view", "workflows.manage"]}
    assert admin.put("/roles/signer", json=role).status_code == 200
    clients = [workflows.bob]
    for name in SIGNERS:
        assert admin.post("/users", json={"name": name, "roles": ["signer"]}).status_code == 201
        token = admin.post("/tokens", json={"name": "test", "user": name}).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        clients.append(httpx2.Client(base_url=admin.base_url, headers=headers, timeout=30))
    for kind in NEEDED:
        who = ["user:bob"] if kind == "singular" else ["role:signer", "bob"]
        gate = {**GATE, "approval_type": kind, "approvers": who}
        steps = [note("a"), gate, note("b")]
        workflows.publish({"name": f"gated-{kind}", "inputs": LEDGER_INPUT, "steps": steps})
    yield clients
    for client in clients[1:]:
        client.close()


class Victim:
    """A gated instance, one vote short of a decision, that is attacked through Prefect's API."""

    def __init__(self, live: LiveStack, people: list[httpx2.Client], ledger: Ledger, kind: str) -> None:
        self.live = live
        self.people = people[: NEEDED[kind]]
        self.ledger = ledger
        self.number = live.launch(f"gated-{kind}", ["host-1"], ledger=str(ledger.path))
        self.gate: dict[str, Any]

    def attacked(self, prefect: httpx2.Client, attack: Attack) -> None:
        """Reached its gate, lacking one vote, and attacked."""
        self.gate = self.live.gate(self.number, 120)
        for person in self.people[:-1]:
            assert self.vote(person) == "pending"
        run = self.live.instance(self.number)["flow_run_id"]
        until(lambda: state(prefect, run) == "PAUSED", 60, "Prefect's run to be suspended")
        assert attack(prefect, run).status_code < 500

    def vote(self, person: httpx2.Client) -> str:
        body = {"decision": "approve", "digest": self.gate["digest"]}
        answer = person.post(f"/approvals/{self.gate['id']}/vote", json=body)
        assert answer.status_code == 200, answer.text
        status: str = answer.json()["status"]
        return status

    def ran(self) -> list[str]:
        """The steps that ran, each as often as it did."""
        lines = [line.split() for line in self.ledger.lines()]
        return [step for number, step in lines if number == str(self.number)]


@pytest.fixture(scope="module")
def attacked(
    workflows: LiveStack, people: list[httpx2.Client], tmp_path_factory: pytest.TempPathFactory
) -> dict[Attack, list[Victim]]:
    """So many victims of each attack; all have had time to fall for it."""
    folder = tmp_path_factory.mktemp("forged")
    ledgers = {attack: Ledger(folder / attack.__name__) for attack in ATTACKS}
    victims: dict[Attack, list[Victim]] = {attack: [] for attack in ATTACKS}
    kinds = cycle(NEEDED)
    with workflows.prefect() as prefect:
        for _ in range(TIMES):
            wave = {attack: Victim(workflows, people, ledgers[attack], next(kinds)) for attack in ATTACKS}
            for attack, victim in wave.items():
                victim.attacked(prefect, attack)
                victims[attack].append(victim)
    time.sleep(5)
    return victims


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_prefect_can_not_open_a_gate(
    workflows: LiveStack, attacked: dict[Attack, list[Victim]], attack: Attack
) -> None:
    for victim in attacked[attack]:
        assert victim.ran() == ["a"], "something behind the gate ran"
        assert workflows.instance(victim.number)["ended_at"] is None
        assert workflows.bob.get(f"/approvals/{victim.gate['id']}").json()["status"] == "pending"

    for victim in attacked[attack]:
        assert victim.vote(victim.people[-1]) == "approved"
    for victim in attacked[attack]:
        assert workflows.ended(victim.number, 120)["status"] == "completed"
        assert victim.ran() == ["a", "b"]


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
