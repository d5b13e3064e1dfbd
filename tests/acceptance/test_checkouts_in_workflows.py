"""Workflows that check out, run as the identity and check in, on the whole stack with its own vault."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.live.sizes import LIMIT_SECONDS, size
from tests.live.stack import LiveStack, until
from tests.live.vault import vault_of

WAIT = 'while [ ! -e "{{inputs.go}}" ]; do sleep 0.1; done'
GO = [{"name": "go", "required": True}]


@pytest.fixture(scope="module")
def identities(live: LiveStack) -> Iterator[LiveStack]:
    """A role of the stack's database, whose password its vault has, as three identities."""
    live.call(vault_of(live).static_role("checked_out"))
    place = {"vault": "local", "source": "database_static", "path": "database/checked_out"}
    approval = {"approvers": ["bob"], "timeout_minutes": 10}
    kinds: dict[str, dict[str, Any]] = {
        "co_free": {},
        "co_asked": {"requires_approval": True, "approval": approval},
        "co_one": {"exclusive": True},
    }
    for name, more in kinds.items():
        body = {"username": "checked_out", **place, **more}
        answer = live.admin.put(f"/identities/by-name/{name}", json=body)
        assert answer.status_code in (200, 201), answer.text
    yield live
    open_ones = live.admin.get("/checkouts", params={"status": "active"}).json()["items"]
    assert not [one for one in open_ones if one["identity"] in kinds], "every checkout ends"


def _out(identity: str, **more: Any) -> dict[str, Any]:
    return {"id": "out", "type": "pam_checkout", "identity": identity, "variable_name": "dba", **more}


def _use(command: str = "true", **more: Any) -> dict[str, Any]:
    return {"id": "use", "type": "command", "command": command, "run_as": "{{dba}}", **more}


IN = {"id": "in", "type": "pam_checkin"}


def _checkouts(live: LiveStack, number: int) -> list[dict[str, Any]]:
    """The oldest first."""
    found: list[dict[str, Any]] = live.admin.get("/checkouts", params={"instance": number}).json()["items"]
    return found[::-1]


def _held(live: LiveStack, number: int) -> bool:
    return [one["status"] for one in _checkouts(live, number)] == ["active"]


def _path(view: dict[str, Any]) -> list[str]:
    return [f"{step['step_id']} {step['status']}" for step in view["steps"]]


def test_an_identity_is_asked_for_used_and_given_back(identities: LiveStack) -> None:
    live = identities
    told = _use('echo "{{dba.username}} {{co_asked.credential_type}} {{variables.dba.password}}"')
    steps = [_out("co_asked", reason="to look at {{instance.id}}", duration_minutes=5), told, IN]
    live.publish({"name": "co-asked", "steps": steps})
    number = live.launch("co-asked", ["host-1"])
    gate = live.gate(number)
    assert (gate["kind"], gate["title"], gate["description"]) == (
        "pam",
        "Check out co_asked",
        f"to look at {number}",
    )
    assert live.vote(gate).status_code == 200
    ended = live.ended(number)
    assert (ended["status"], _path(ended)) == (
        "completed",
        ["out completed", "use completed", "in completed"],
    )
    (job,) = ended["steps"][1]["jobs"]
    assert job["stdout"].strip() == "checked_out database ***CREDENTIAL_BLOCKED***"
    (checkout,) = _checkouts(live, number)
    assert (checkout["status"], checkout["end_reason"]) == ("ended", "Checked in by step in.")
    assert (checkout["minutes"], checkout["reason"]) == (5, f"to look at {number}")

    refused = live.launch("co-asked", ["host-1"])
    assert live.vote(live.gate(refused), "reject").status_code == 200
    ended = live.ended(refused)
    assert (ended["status"], _path(ended)) == ("failed", ["out failed"])
    assert "approval can no longer be reached" in ended["reason"]
    assert [checkout["status"] for checkout in _checkouts(live, refused)] == ["denied"]


@pytest.mark.timeout(LIMIT_SECONDS)
def test_one_at_a_time_has_an_exclusive_identity_and_the_next_is_paused(
    identities: LiveStack, tmp_path: Path
) -> None:
    live = identities
    live.publish({"name": "co-one", "inputs": GO, "steps": [_out("co_one"), _use(WAIT), IN]})
    first = live.launch("co-one", ["host-1"], go=str(tmp_path / "go"))
    until(
        lambda: [one["status"] for one in _checkouts(live, first)] == ["active"], 60, "the first to have it"
    )
    others = [live.launch("co-one", ["host-1"], go=str(tmp_path / "go")) for _ in range(size(1, 9))]
    for number in others:
        until(lambda number=number: live.instance(number)["status"] == "paused", 90, "the next to wait")
        assert f"Waits until co_one is free: instance {first} holds it" in live.instance(number)["waits_for"]
    (tmp_path / "go").touch()
    assert {live.ended(number, 120)["status"] for number in (first, *others)} == {"completed"}
    held = [_checkouts(live, number)[0] for number in (first, *others)]
    held.sort(key=lambda one: str(one["active_at"]))
    assert all(one["ended_at"] <= later["active_at"] for one, later in pairwise(held))


def test_a_branch_that_waits_for_people_holds_up_nobody_and_asks_no_more_when_it_is_given_up(
    identities: LiveStack, tmp_path: Path
) -> None:
    live = identities
    quick = {"id": "quick", "type": "command", "command": WAIT}
    branches = [{"steps": [_out("co_asked"), _use()]}, {"steps": [quick]}]
    fork = {"id": "p", "type": "parallel", "join": "any", "branches": branches}
    live.publish({"name": "co-branches", "inputs": GO, "steps": [fork]})
    number = live.launch("co-branches", ["host-1"], go=str(tmp_path / "go"))
    until(lambda: live.instance(number)["approvals"], 60, "people to be asked", live, number)
    (request,) = live.instance(number)["approvals"]
    (tmp_path / "go").touch()
    ended = live.ended(number)
    assert ended["status"] == "completed", ended["reason"]
    assert live.admin.get(f"/approvals/{request['id']}").json()["status"] == "withdrawn"
    (checkout,) = _checkouts(live, number)
    assert (checkout["status"], checkout["active_at"]) == ("ended", None)


def test_an_instance_that_is_resumed_checks_out_again_and_does_the_rest_meanwhile(
    identities: LiveStack, tmp_path: Path
) -> None:
    live = identities
    plain = {"id": "plain", "type": "command", "command": 'test -e "{{inputs.go}}"'}
    steps = [_out("co_asked"), plain, _use(), IN]
    live.publish({"name": "co-resumed", "inputs": GO, "steps": steps})
    number = live.launch("co-resumed", ["host-1"], go=str(tmp_path / "go"))
    assert live.vote(live.gate(number)).status_code == 200
    assert live.ended(number)["status"] == "failed"
    (tmp_path / "go").touch()
    assert live.admin.post(f"/instances/{number}/resume").status_code == 200
    gate = live.gate(number)
    assert _path(live.instance(number))[2:] == ["plain completed", "use waiting"]
    assert live.vote(gate).status_code == 200
    ended = live.ended(number)
    assert ended["status"] == "completed", ended["reason"]
    assert [one["end_reason"] for one in _checkouts(live, number)] == [
        "The instance is failed.",
        "Checked in by step in.",
    ]


def test_what_is_held_ends_with_the_instance_and_what_runs_by_it_ends_with_the_checkout(
    identities: LiveStack, tmp_path: Path
) -> None:
    live = identities
    live.publish({"name": "co-fails", "steps": [_out("co_free"), _use("exit 3")]})
    live.publish({"name": "co-waits", "inputs": GO, "steps": [_out("co_free"), _use(WAIT)]})
    failed = live.launch("co-fails", ["host-1"])
    assert live.ended(failed)["status"] == "failed"
    assert [one["end_reason"] for one in _checkouts(live, failed)] == ["The instance is failed."]

    def running() -> int:
        number = live.launch("co-waits", ["host-1"], go=str(tmp_path / "go"))
        until(lambda: _jobs(number) == ["running"], 60, "its job to run", live, number)
        return number

    def _jobs(number: int) -> list[str]:
        return [job["status"] for step in live.instance(number)["steps"] for job in step["jobs"]]

    cancelled = running()
    assert live.admin.post(f"/instances/{cancelled}/cancel").status_code == 200
    assert live.ended(cancelled)["status"] == "cancelled"
    assert [one["end_reason"] for one in _checkouts(live, cancelled)] == ["The instance is cancelled."]

    by_hand = running()
    (checkout,) = _checkouts(live, by_hand)
    assert live.admin.post(f"/checkouts/{checkout['id']}/checkin").status_code == 200
    ended = live.ended(by_hand)
    assert ended["status"] == "failed"
    assert "Nothing runs as `co_free` any more, its checkout has ended: Ended by" in ended["reason"]


@pytest.mark.parametrize("point", ["worker.checkout_requested", "worker.checked_in"])
def test_a_worker_killed_there_asks_once_and_leaves_nothing_open(identities: LiveStack, point: str) -> None:
    live = identities
    live.publish({"name": "co-killed", "steps": [_out("co_free"), _use(run_as="{{co_free}}"), IN]})
    with live.killed_at(point) as hit:
        number = live.launch("co-killed", ["host-1"])
        ended = live.ended(number, 90)
        assert hit()
    assert ended["status"] == "completed", ended["reason"]
    assert [(one["status"], one["step_id"]) for one in _checkouts(live, number)] == [("ended", "out")]
