"""The proof of checkouts: what is checked out exists, and `run_as` finds it open on every path."""

from typing import Any

import pytest

from definitions.catalogue import Catalogue, IdentityFacts
from definitions.examination import read_workflow
from definitions.identity import Identity
from definitions.problems import Problem
from definitions.proof import prove
from definitions.workflow import parse

KNOWN = Catalogue(
    identities=(
        IdentityFacts(1, "dba", max_minutes=30),
        IdentityFacts(2, "web"),
        IdentityFacts(3, "one", exclusive=True),
    )
)
OUT: dict[str, Any] = {"id": "out", "type": "pam_checkout", "identity": "dba", "variable_name": "admin"}
IN: dict[str, Any] = {"id": "in", "type": "pam_checkin"}
USE: dict[str, Any] = {"id": "use", "type": "command", "command": "true", "run_as": "{{dba}}"}
WEB: dict[str, Any] = {"id": "web", "type": "pam_checkout", "identity": "web"}
AGAIN: dict[str, Any] = {**OUT, "id": "again"}
CANCELS: dict[str, Any] = {**IN, "on_success": "cancelled", "on_failure": "cancelled"}
B: dict[str, Any] = {"id": "b", "type": "command", "command": "true"}
A: dict[str, Any] = {"id": "a", "type": "command", "command": "true"}


def _proved(*steps: dict[str, Any], known: Catalogue = KNOWN) -> list[Problem]:
    workflow, problems = parse({"name": "w", "steps": list(steps)})
    assert workflow is not None, problems
    return prove(workflow, known)


def _codes(*steps: dict[str, Any], known: Catalogue = KNOWN) -> list[tuple[str, str]]:
    return [(problem.code, problem.pointer) for problem in _proved(*steps, known=known)]


def _fork(*branches: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": "p", "type": "parallel", "branches": [{"steps": steps} for steps in branches], **more}


def test_what_is_checked_out_exists_and_for_no_longer_than_it_may() -> None:
    assert _codes({**OUT, "duration_minutes": 30}) == []
    assert _codes({**OUT, "identity": "dab"}) == [("unknown-identity", "/steps/0/identity")]
    assert _codes({**OUT, "identity": 9}) == [("unknown-identity", "/steps/0/identity")]
    (too_long,) = _proved({**OUT, "duration_minutes": 31})
    assert (too_long.code, too_long.severity) == ("too-long", "warning")


def test_without_a_server_it_says_that_identities_were_not_looked_at() -> None:
    (left_out,) = _proved(OUT, USE, known=Catalogue())
    assert "identities" in left_out.message


def test_an_identity_named_by_its_id_is_known_by_its_name_too() -> None:
    by_id = {"id": "out", "type": "pam_checkout", "identity": 1}
    assert _codes(by_id, USE) == []
    assert _codes(_fork([by_id, USE])) == []
    assert _codes(by_id, USE, known=Catalogue(identities=())) == [
        ("unknown-identity", "/steps/0/identity"),
        ("unknown-reference", "/steps/1/run_as"),
    ]


def test_an_identity_is_known_by_both_its_names_after_its_checkout_and_not_before() -> None:
    for name in ("dba", "admin"):
        use = {**USE, "run_as": f"{{{{{name}}}}}", "command": f"echo {{{{{name}.username}}}}"}
        assert _codes(OUT, use) == []
        assert {code for code, _ in _codes(use, OUT)} == {"not-on-every-path"}
        assert {code for code, _ in _codes({**A, "on_failure": "use"}, OUT, use)} == {"not-on-every-path"}
        assert {code for code, _ in _codes({**OUT, "on_failure": "use"}, use)} == {"not-on-every-path"}


@pytest.mark.parametrize(
    ("run_as", "fix"),
    [
        ("dba", "Write {{dba}}."),
        ("admin", "Write {{admin}}."),
        ("web", "Check web out in a pam_checkout step before, and write {{web}}."),
        ("root", "Check an identity out in a pam_checkout step before, and write for example {{db_admin}}."),
        ("{{dba.username}}", "Check an identity out"),
        ("{{dba}} ", "Check an identity out"),
    ],
)
def test_run_as_names_an_identity_in_braces_and_nothing_else(run_as: str, fix: str) -> None:
    (problem,) = _proved(OUT, {**USE, "run_as": run_as})
    assert (problem.code, problem.pointer) == ("no-identity", "/steps/1/run_as")
    assert problem.fix.startswith(fix)


def test_run_as_of_what_is_no_identity_is_said_once() -> None:
    assert _codes(OUT, {**USE, "run_as": "{{step_a}}"}, A)[0][0] == "unknown-property"
    assert _codes(OUT, {**USE, "run_as": "{{nobody}}"}) == [("unknown-reference", "/steps/1/run_as")]


def test_what_was_checked_in_can_be_read_and_nothing_runs_as_it() -> None:
    tell = {**A, "command": "echo {{dba.username}}"}
    assert _codes(OUT, IN, tell) == []
    (problem,) = _proved(OUT, IN, USE, {**IN, "id": "later"})
    assert (problem.code, problem.pointer) == ("checked-in-before", "/steps/2/run_as")
    assert problem.message.endswith("by `in`, as on the path start → out succeeds → in succeeds → here.")


@pytest.mark.parametrize(
    "steps",
    [
        [OUT, USE, IN],
        [OUT, IN, AGAIN, USE],
        [WEB, OUT, {**IN, "checkout": "web"}, USE],
        [OUT, {**A, "on_failure": "in", "on_success": "use"}, {**IN, "on_success": "end"}, USE],
        [OUT, _fork([USE], [A]), IN],
        [OUT, _fork([A], [{**A, "id": "b"}]), USE],
        [
            OUT,
            _fork([{**IN, "checkout": "web"}, WEB]),
            USE,
        ],
        [OUT, IN, _fork([AGAIN, USE], [A])],
        [_fork([OUT, USE], [A]), {**USE, "id": "after"}],
        [OUT, _fork([IN, AGAIN]), USE],
        [
            OUT,
            _fork([{**A, "on_failure": "in", "on_success": "end"}, CANCELS], [B], on_failure="use"),
            USE,
        ],
        [OUT, _fork([{**A, "on_failure": "in", "on_success": "end"}, CANCELS], [USE])],
    ],
)
def test_run_as_may_follow_where_it_is_open_on_every_path(steps: list[dict[str, Any]]) -> None:
    assert _codes(*steps) == []


@pytest.mark.parametrize(
    ("steps", "pointer", "path"),
    [
        (
            [OUT, {**A, "on_failure": "use"}, IN, USE],
            "/steps/3/run_as",
            "out succeeds → a succeeds → in succeeds",
        ),
        ([OUT, {**IN, "checkout": "out"}, USE], "/steps/2/run_as", "out succeeds → in succeeds"),
        (
            [OUT, {**IN, "on_failure": "use", "on_success": "end"}, USE],
            "/steps/2/run_as",
            "out succeeds → in fails",
        ),
        ([OUT, _fork([IN], [A]), USE], "/steps/2/run_as", "out succeeds → p succeeds (in succeeds → end)"),
        (
            [OUT, _fork([IN], [USE])],
            "/steps/1/branches/1/steps/0/run_as",
            "out succeeds → p begins → meanwhile branch 1 (in succeeds)",
        ),
        (
            [OUT, _fork([IN], [_fork([USE]) | {"id": "q"}])],
            "/steps/1/branches/1/steps/0/branches/0/steps/0/run_as",
            "out succeeds → p begins → meanwhile branch 1 (in succeeds) → q begins",
        ),
        ([_fork([OUT], [IN]), USE], "/steps/1/run_as", "p succeeds (in succeeds → end)"),
        (
            [OUT, _fork([{**IN, "on_success": "again"}, AGAIN], join="any"), USE],
            "/steps/2/run_as",
            "out succeeds → p succeeds (in succeeds)",
        ),
        (
            [OUT, IN, _fork([USE])],
            "/steps/2/branches/0/steps/0/run_as",
            "out succeeds → in succeeds → p begins",
        ),
        (
            [OUT, _fork([{**IN, "on_failure": "fail"}], on_success="end", on_failure="use"), USE],
            "/steps/2/run_as",
            "out succeeds → p fails (in succeeds → end)",
        ),
        (
            [OUT, _fork([IN, AGAIN], timeout_minutes=1, on_failure="use"), USE],
            "/steps/2/run_as",
            "out succeeds → p fails (in fails → fail)",
        ),
    ],
)
def test_run_as_may_not_follow_where_some_path_has_checked_it_in(
    steps: list[dict[str, Any]], pointer: str, path: str
) -> None:
    assert _codes(*steps) == [("checked-in-before", pointer)]
    assert _proved(*steps)[0].message.endswith(f", as on the path start → {path} → here.")


def test_a_check_in_names_checkout_steps() -> None:
    assert _codes(OUT, A, {**IN, "checkout": ["out", "oot", "a"]}) == [
        ("unknown-checkout", "/steps/2/checkout/1"),
        ("unknown-checkout", "/steps/2/checkout/2"),
    ]
    assert [problem.severity for problem in _proved(IN)] == ["warning"]


def test_what_could_not_be_read_is_not_taken_for_missing() -> None:
    document = {"name": "w", "steps": [{**OUT, "duration_minutes": "x"}, {**IN, "checkout": "out"}]}
    codes = {problem.code for problem in read_workflow(document).prove(KNOWN)}
    assert not codes & {"unknown-checkout", "nothing-to-check-in"}


def test_a_circle_is_all_that_is_said_of_a_circle() -> None:
    found = _codes(OUT, {**IN, "on_success": "out"})
    assert [code for code, _ in found] == ["cycle"]


def test_the_proof_knows_of_an_identity_what_its_definition_says():
    document = {"name": "dba", "vault": "v", "source": "database_static", "path": "database/app"}
    identity = Identity.model_validate({**document, "username": "app", "max_checkout_minutes": 20})
    assert IdentityFacts.of(7, identity) == IdentityFacts(7, "dba", "app", "database", None, False, 20)
