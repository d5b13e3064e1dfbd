"""What may run once a gate is passed, and what its texts say by then."""

from hashlib import sha256
from typing import Any

import pytest

from definitions.ahead import (
    LONGEST_VALUE,
    Piece,
    StepAhead,
    describe,
    identities,
    may_run_as,
    reached,
    reached_anew,
    shown,
    to_come,
)
from definitions.parameters import Value
from definitions.variables import CheckoutFacts, HostFacts, StepFacts, scope
from definitions.workflow import Workflow, parse

GATE = {"id": "gate", "type": "approval", "approvers": ["role:x"]}


def workflow(*steps: dict[str, Any]) -> Workflow:
    found, problems = parse({"name": "w", "steps": [step(each) for each in steps]})
    assert found is not None, problems
    return found


def step(fields: dict[str, Any]) -> dict[str, Any]:
    return fields if "type" in fields else {"type": "command", "command": "true", **fields}


def ways(*steps: dict[str, Any], gate: str = "gate") -> dict[str, str]:
    return {step.id: when for step, when in reached(workflow(*steps), gate)}


def test_every_step_up_to_the_end() -> None:
    assert ways({"id": "before"}, GATE, {"id": "a"}, {"id": "b"}) == {"a": "first", "b": "after `a`"}


def test_the_next_gate_is_the_last_step() -> None:
    assert list(ways(GATE, {"id": "a"}, {**GATE, "id": "second"}, {"id": "b"})) == ["a", "second"]


def test_a_gate_before_the_end_sets_nothing_going() -> None:
    assert ways({"id": "a"}, GATE) == {}


def test_what_a_refusal_leads_to_is_not_listed() -> None:
    assert list(ways({**GATE, "on_success": "end", "on_failure": "mourn"}, {"id": "mourn"})) == []


def test_the_likeliest_way_comes_first_and_the_others_say_what_brings_them_about() -> None:
    check = {"id": "check", "type": "condition", "condition": "true", "on_true": "a", "on_false": "b"}
    assert ways(
        GATE, {"id": "deploy", "on_failure": "undo"}, check, {"id": "a"}, {"id": "b"}, {"id": "undo"}
    ) == {
        "deploy": "first",
        "check": "after `deploy`",
        "a": "if `check` is true",
        "b": "after `a` or if `check` is false",
        "undo": "after `b` or if `deploy` fails",
    }


def test_branches_are_listed_and_what_comes_after_they_have_joined() -> None:
    fork = {
        "id": "p",
        "type": "parallel",
        "branches": [{"steps": [step({"id": "x"})]}, {"steps": [step({"id": "y"})]}],
    }
    assert ways(GATE, fork, {"id": "z"}) == {
        "p": "first",
        "x": "as a branch of `p`",
        "y": "as a branch of `p`",
        "z": "after `p`",
    }


def test_a_gate_in_a_branch_opens_the_rest_of_its_branch_and_what_comes_after_the_join() -> None:
    branches = [{"steps": [GATE, step({"id": "x"})]}, {"steps": [step({"id": "beside"})]}]
    fork = {"id": "p", "type": "parallel", "branches": branches, "on_failure": "undo"}
    assert ways(fork, {"id": "z"}, {"id": "undo"}) == {
        "x": "first",
        "z": "after `p`",
        "undo": "after `z` or if `p` fails",
    }


def test_of_an_instance_that_is_resumed_it_is_what_runs_again_and_what_follows() -> None:
    found = workflow({"id": "a"}, {"id": "b"}, {"id": "c"}, {**GATE, "id": "second"}, {"id": "d"})
    ways = {step.id: when for step, when in reached_anew(found, ["b"])}
    assert ways == {"b": "first", "c": "after `b`", "second": "after `c`"}
    assert [step.id for step, _ in reached_anew(found, ["second"])] == ["second"]


def test_of_branches_that_go_on_it_is_their_rest_and_what_comes_after_they_have_joined() -> None:
    inside = [{"steps": [step({"id": "w"})]}, {"steps": [step({"id": "done"})]}]
    inner = {"id": "q", "type": "parallel", "branches": inside}
    branches = [{"steps": [inner, step({"id": "v"})]}, {"steps": [step({"id": "x"}), step({"id": "y"})]}]
    found = workflow({"id": "p", "type": "parallel", "branches": branches}, {"id": "z"})
    ways = {step.id: when for step, when in reached_anew(found, ["p", "q", "w", "y"], {"p", "q"})}
    assert ways == {"w": "first", "y": "first", "v": "after `q`", "z": "after `p`"}


SCOPE = scope(
    inputs={"note": "release 7", "big": "x" * 5000, "odd": "a\x00b\ud800"},
    instance={"id": 5, "started_by": "olga"},
    results={"scan": StepFacts(hosts=(HostFacts(host="web-1", stdout='{"ip": "10.0.0.1"}\n', exit_code=0),))},
    identities={"db_admin": {"username": "postgres"}},
)


def described(fields: dict[str, Any], *later: str) -> StepAhead:
    only = workflow({"id": "s", **fields}).step("s")
    return describe(only, "first", SCOPE, later)


def text(found: StepAhead) -> str:
    return "".join(piece.text for piece in found.text)


def test_values_stand_in_the_place_of_their_references() -> None:
    found = described({"command": 'deploy "{{inputs.note}}" to {{step_scan.json.ip}}'})
    assert found.text == (
        Piece(text='deploy "'),
        Piece(text="release 7", of="{{inputs.note}}"),
        Piece(text='" to '),
        Piece(text="10.0.0.1", of="{{step_scan.json.ip}}"),
    )


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{step_build.stdout}}", "known when `build` has run"),
        ("{{vault.username}}", "known when `vault` is checked out"),
        (
            "{{step_scan.json.name}}",
            "{{step_scan.json.name}} has no value: the step's JSON has no `name` there.",
        ),
        ("{{inputs.gone}}", "{{inputs.gone}} has no value: there is no such value in `inputs`."),
    ],
)
def test_what_has_no_value_yet_says_why(template: str, why: str) -> None:
    assert described({"command": template}, "build").text == (Piece(text=template, of=template, unknown=why),)


def test_a_result_from_before_is_not_shown_for_a_step_that_runs_again() -> None:
    assert described({"command": "{{step_scan.stdout}}"}, "scan").text[0].unknown is not None


def test_the_beginning_of_an_output_is_shown_as_one() -> None:
    host = HostFacts(host="web-1", stdout="be", exit_code=0, truncated={"stdout": 8192})
    cut = scope(inputs={}, instance={}, results={"scan": StepFacts(hosts=(host,))})
    only = workflow({"id": "s", "command": "echo {{step_scan.stdout}}"}).step("s")
    assert "be ({{step_scan.stdout}} is not the whole: web-1" in text(describe(only, "first", cut, ()))


def test_of_an_identity_only_its_name_is_shown() -> None:
    assert text(described({"command": "{{db_admin.username}} {{db_admin.password}}"})) == (
        "postgres ***CREDENTIAL_BLOCKED***"
    )


@pytest.mark.parametrize("reference", ["{{web.password}}", "{{ web.Password.x }}", "{{web}}"])
def test_what_is_never_given_of_an_identity_does_not_become_known_when_it_is_checked_out(
    reference: str,
) -> None:
    assert described({"command": reference}).text == (Piece(text="***CREDENTIAL_BLOCKED***", of=reference),)


def test_whom_a_step_runs_as_is_said_once_it_is_checked_out() -> None:
    known = described({"command": "true", "run_as": "{{db_admin}}"}).values["run as"]
    assert known == (Piece(text="db_admin (postgres)", of="{{db_admin}}"),)
    later = described({"command": "true", "run_as": "{{web}}"}).values["run as"]
    assert later == (Piece(text="{{web}}", of="{{web}}", unknown="known when `web` is checked out"),)


def use(step_id: str, name: str) -> dict[str, Any]:
    return {"id": step_id, "type": "command", "command": "true", "run_as": f"{{{{{name}}}}}"}


def test_a_name_that_may_be_given_to_another_first_is_not_said_to_be_known() -> None:
    def out(step_id: str, identity: str, **more: Any) -> dict[str, Any]:
        return {"id": step_id, "type": "pam_checkout", "identity": identity, "variable_name": "acct", **more}

    def left(number: int, step_id: str, identity: str) -> tuple[str, StepFacts]:
        about = {"vault": "v", "path": "p", "username": f"{identity}_user", "credential_type": "password"}
        return step_id, StepFacts(
            checkout=CheckoutFacts.model_validate({"id": number, "names": ("acct", identity), **about})
        )

    branches = [
        {"steps": [out("alice", "alice"), {**GATE, "id": "gate"}, use("own", "acct")]},
        {"steps": [out("web", "web"), use("beside", "acct")]},
    ]
    fork = {"id": "p", "type": "parallel", "branches": branches}
    again = [out("again", "alice"), use("same", "acct"), out("bob", "bob"), use("z", "acct")]
    found = workflow(out("first", "root"), fork, *again)
    been = [left(1, "first", "root"), left(2, "alice", "alice")]
    readers = ["own", "beside", "same", "bob", "z"]
    known = identities(found, readers, been, ["own", "web", "beside", "again", "same", "bob", "z"])
    assert {reader: names.get("acct", {}).get("username") for reader, names in known.items()} == {
        "own": "alice_user",
        "beside": None,  # `web` comes first
        "same": None,  # `web` of the other branch may have come later than `alice`
        "bob": None,
        "z": None,
    }
    assert known["z"].keys() == {"root", "alice"}
    known = identities(found, readers, been, ["own", "again", "same", "bob", "z"])
    assert [names.get("acct", {}).get("username") for names in known.values()] == [
        "alice_user",
        "root_user",
        "alice_user",
        "alice_user",
        None,
    ]


def test_whom_steps_to_come_may_run_as() -> None:
    branches = [{"steps": [use("b1", "one"), use("b2", "two")]}, {"steps": [use("b3", "three")]}]
    fork = {"id": "p", "type": "parallel", "branches": branches}
    plain = {"id": "last", "type": "command", "command": "true"}
    found = workflow(use("a", "zero"), fork, use("z", "four"), plain)

    def names(*points: str, begun: tuple[str, ...] = ()) -> frozenset[str]:
        return may_run_as(to_come(found, points, begun))

    assert names("a") == {"zero", "one", "two", "three", "four"}
    assert names("z") == {"four"}
    assert names("b2") == names("p", "b2", begun=("p",)) == {"two", "four"}
    assert names("p") == {"one", "two", "three", "four"}
    assert names("p", begun=("p",)) == {"four"}
    assert names("last") == frozenset()


def test_a_long_value_is_cut_and_told_apart_by_its_fingerprint() -> None:
    cut = text(described({"command": "{{inputs.big}}"}))
    assert cut == f"{'x' * LONGEST_VALUE}… (5000 characters; SHA-256 {sha256(b'x' * 5000).hexdigest()})"
    assert shown("x" * LONGEST_VALUE) == "x" * LONGEST_VALUE


def test_a_value_that_no_database_keeps_is_still_shown() -> None:
    assert text(described({"command": "{{inputs.odd}}"})) == "a\ufffdb?"


def said(value: Value) -> tuple[Piece, ...]:
    return (Piece(text=str(value)),)


@pytest.mark.parametrize(
    ("fields", "says", "given"),
    [
        ({"command": "true", "run_as": "root"}, "true", {"run as": said("root")}),
        (
            {"type": "script", "script": 1, "parameters": {"n": 3, "none": None, "empty": ""}},
            "",
            {"n": said(3), "empty": ()},
        ),
        ({"type": "condition", "condition": "{{inputs.note}} == 'x'"}, "release 7 == 'x'", {}),
        ({"type": "delay", "minutes": 5}, "5 minutes", {}),
        ({"type": "delay", "until": "{{inputs.note}}"}, "until release 7", {}),
        ({**GATE, "id": "s", "title": "Really?"}, "Really?", {"approvers": said("role:x")}),
        ({**GATE, "id": "s"}, "s", {"approvers": said("role:x")}),
        ({"type": "pam_checkout", "identity": "dba", "reason": "why"}, "why", {"identity": said("dba")}),
        (
            {"type": "pam_checkout", "identity": "dba", "variable_name": "v", "duration_minutes": 5},
            "",
            {"identity": said("dba"), "known as": said("v"), "minutes": said(5)},
        ),
        ({"type": "pam_checkin"}, "", {"checkouts": said("every open one")}),
        ({"type": "pam_checkin", "checkout": ["c"]}, "", {"checkouts": said("c")}),
        (
            {"type": "parallel", "branches": [{"steps": [step({"id": "x"})]}]},
            "",
            {"branches": said(1), "join": said("all")},
        ),
    ],
)
def test_every_kind_says_what_it_does(fields: dict[str, Any], says: str, given: dict[str, object]) -> None:
    found = described(fields)
    assert (text(found), found.values) == (says, given)
