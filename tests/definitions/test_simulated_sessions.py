"""Checkouts on paper: who a step would run as, and when it no longer could."""

from typing import Any

from definitions.catalogue import Catalogue, IdentityFacts
from tests.definitions.test_simulation import COMMAND, _simulate

OUT: dict[str, Any] = {"id": "out", "type": "pam_checkout", "identity": "dba", "variable_name": "admin"}
USE: dict[str, Any] = {"id": "use", **COMMAND, "command": "echo {{dba.username}}", "run_as": "{{admin}}"}
IN: dict[str, Any] = {"id": "in", "type": "pam_checkin"}
KNOWN = Catalogue(identities=(IdentityFacts(7, "dba", "postgres", "database", "corp", max_minutes=30),))


def test_a_server_knows_whose_account_it_is() -> None:
    tell = {**USE, "command": "echo {{admin.username}} {{dba.credential_type}} {{dba.domain}}"}
    found = _simulate([{**OUT, "identity": 7}, tell], known=KNOWN)
    assert found.path[0].input == {"identity": "dba", "reason": ""}
    assert [*found.path[1].input["environment"].values()] == ["postgres", "database", "corp"]


def test_what_was_checked_in_runs_nothing_and_what_was_not_does() -> None:
    again = {**OUT, "id": "again", "identity": "web", "variable_name": None}
    steps = [OUT, again, {**IN, "checkout": "out"}, {**USE, "on_failure": "other"}]
    found = _simulate([*steps, {**USE, "id": "other", "run_as": "{{web}}"}], known=KNOWN)
    used, other = found.path[3:]
    assert used.reason.startswith(
        "Nothing runs as `admin` any more, its checkout has ended: Checked in by step in."
    )
    assert (other.status, other.input["run_as"]) == ("completed", "web")


def test_one_of_two_with_the_same_name_is_enough() -> None:
    twice = {**OUT, "id": "twice"}
    for closed in ("out", "twice"):
        assert _simulate([OUT, twice, {**IN, "checkout": closed}, USE]).status == "completed"
    assert _simulate([OUT, twice, {**IN, "checkout": "out"}, {**IN, "id": "in2"}, USE]).status == "failed"


def test_a_name_means_whom_it_was_given_to_last_and_falls_back_to_nobody_else() -> None:
    web = {**OUT, "id": "web", "identity": "web"}
    tell = {"id": "tell", **COMMAND, "command": "echo {{admin.username}}"}
    found = _simulate([OUT, web, {**IN, "checkout": "web"}, tell, USE], known=KNOWN)
    assert [*found.path[3].input["environment"].values()] == ["web"]
    assert found.path[4].reason.startswith("Nothing runs as `admin` any more")
    assert _simulate([OUT, web, {**IN, "checkout": "out"}, USE], known=KNOWN).status == "completed"


def test_a_branch_knows_nobody_whom_the_branch_beside_has_checked_out() -> None:
    web = {**OUT, "id": "web", "identity": "web"}
    nap = {"id": "nap", "type": "delay", "seconds": 5}
    use = {**USE, "command": "echo {{admin.username}}"}
    branches = [{"steps": [OUT, nap, use]}, {"steps": [web, {**IN, "checkout": "web"}]}]
    fork = {"id": "p", "type": "parallel", "branches": branches}
    found = _simulate([fork, {**use, "id": "after", "run_as": "{{dba}}"}], known=KNOWN)
    of = {step.step: step for step in found.path}
    assert (found.status, [*of["use"].input["environment"].values()]) == ("completed", ["postgres"])
    assert [*of["after"].input["environment"].values()] == ["web"], "it was given to later"
    only = [{"steps": [OUT]}, {"steps": [nap, USE]}]
    alone = _simulate([{**fork, "branches": only}], known=KNOWN)
    assert alone.status == "failed"
    assert [step.status for step in alone.path if step.step == "use"] == ["failed"]


def test_its_time_ends_a_checkout() -> None:
    nap = {"id": "nap", "type": "delay", "minutes": 20}
    assert _simulate([OUT, nap, USE], known=KNOWN).status == "completed"
    late = _simulate([{**OUT, "duration_minutes": 20}, nap, USE], known=KNOWN)
    assert "its checkout has ended: Its time is over." in late.reason
    assert _simulate([OUT, nap, {**nap, "id": "nap2"}, USE], known=KNOWN).status == "failed"
    assert _simulate([OUT, nap, {**nap, "id": "nap2"}, USE]).status == "completed"


def test_a_check_in_that_fails_ends_nothing() -> None:
    found = _simulate([OUT, {**IN, "on_failure": "use"}, USE], {"steps": {"in": "failure"}})
    assert found.path[-1].status == "completed"


def test_a_check_in_that_is_given_up_with_its_branch_has_happened() -> None:
    branches = [{"steps": [IN]}, {"steps": [{"id": "nap", "type": "delay", "seconds": 1}]}]
    fork = {"id": "p", "type": "parallel", "join": "any", "branches": branches}
    found = _simulate([OUT, fork, USE], {"steps": {"in": {"seconds": 2}}})
    assert [(step.step, step.status) for step in found.path[2:]] == [
        ("in", "cancelled"),
        ("nap", "completed"),
        ("use", "failed"),
    ]


def test_what_runs_when_the_time_of_its_checkout_is_over_is_stopped_and_leaves_nothing() -> None:
    told = {"use": {"seconds": 1201, "exit_code": 0, "stdout": "done"}}
    steps = [{**OUT, "duration_minutes": 20}, USE]
    late = _simulate(steps, {"steps": told}, known=KNOWN)
    used = late.path[1]
    assert (used.status, used.hosts[0].exit_code, used.hosts[0].stdout) == ("failed", None, "")
    assert used.reason.startswith(
        "Nothing runs as `admin` any more, its checkout has ended: Its time is over."
    )
    assert (used.ended or 0) - used.began == 1200
    assert _simulate(steps, {"steps": {"use": {"seconds": 1200}}}, known=KNOWN).status == "completed"
    assert _simulate([OUT, USE], {"steps": told}).status == "completed"
