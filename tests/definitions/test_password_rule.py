"""The password rule of the manual in many spellings: each is blocked in a run, or refused before it.

`{{X.password}}` gives the marker; a credential can be used by `run_as` alone.
"""

from typing import Any

import pytest

from definitions.conditions import ConditionFailed, evaluate
from definitions.errors import Invalid
from definitions.proof import prove
from definitions.variables import BLOCKED, Scope, bind_command, resolve_text, scope
from definitions.workflow import parse

SECRETS = ("hunter2", "correct horse")
"""Two worlds that differ in the secret alone: nothing a definition can say tells them apart."""


def _scope(secret: str) -> Scope:
    hidden = dict.fromkeys(["password", "Password", "secret", "Username", "private_key"], secret)
    identity: Any = {**hidden, "username": "dba", "credential_type": "password", "domain": None}
    return scope(
        inputs={"name": "{{db_admin.password}}"},
        instance={"id": 1, "started_by": "ann"},
        results={},
        identities={"db_admin": identity, "scan": identity},
    )


CHECKOUTS = [
    {"id": "out", "type": "pam_checkout", "identity": "db_admin", "variable_name": "scan"},
    {"id": "scan", "type": "command", "command": "true"},
]


def _proved(step: dict[str, Any]) -> list[tuple[str, str]]:
    """What the proof says of a step after a checkout, without a server."""
    inputs = [{"name": "name"}]
    workflow, problems = parse({"name": "w", "steps": [*CHECKOUTS, {"id": "a", **step}], "inputs": inputs})
    assert workflow is not None, problems
    found = [one for one in prove(workflow) if one.code != "not-checked"]
    return [(problem.code, problem.severity) for problem in found]


SPELLINGS = [
    # as written                               what a text becomes           what the proof says
    ("{{db_admin.password}}", BLOCKED, "credential-blocked warning"),
    ("{{ db_admin.password }}", BLOCKED, "credential-blocked warning"),
    ("{{\tdb_admin.password\t}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.Password}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.PASSWORD}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.Username}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.secret}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.private_key}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.pass-word}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.0}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.__dict__}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.username.password}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.password.username}}", BLOCKED, "credential-blocked warning"),
    ("{{db_admin.json.password}}", BLOCKED, "credential-blocked warning"),
    ("{{variables.db_admin.password}}", BLOCKED, "credential-blocked warning"),
    ("{{ variables.db_admin.Password }}", BLOCKED, "credential-blocked warning"),
    ("x{{db_admin.password}}y", f"x{BLOCKED}y", "credential-blocked warning"),
    ("{{db_admin.username}}{{db_admin.password}}", f"dba{BLOCKED}", "credential-blocked warning"),
    ("{{{db_admin.password}}}", f"{{{BLOCKED}}}", "credential-blocked warning"),
    ("{{scan.password}}", BLOCKED, "credential-blocked warning"),  # an identity named like a step
    ("{{db_admin}}", BLOCKED, "identity-misplaced error"),
    ("{{variables.db_admin}}", BLOCKED, "identity-misplaced error"),
    ("as {{scan}}", f"as {BLOCKED}", "identity-misplaced error"),
    ("{{variables.variables.db_admin.password}}", None, "unknown-reference error"),
    ("{{DB_ADMIN.password}}", None, "unknown-reference error"),
    ("{{step_db_admin.password}}", None, "unknown-reference error"),
    ("{{step_scan.password}}", None, "unknown-property error"),
    ("{{step_out.password}}", None, "no-output error"),
    ("{{inputs.db_admin.password}}", None, "unknown-reference error"),
    ("{{instance.password}}", None, "unknown-reference error"),
    ("{{variables.password}}", None, "unknown-reference error"),
    # Of these nothing is read: they stay as they are.
    ("{{db_admin .password}}", "{{db_admin .password}}", "bad-reference error"),
    ("{{db_admin. password}}", "{{db_admin. password}}", "bad-reference error"),
    ("{{db_admin..password}}", "{{db_admin..password}}", "bad-reference error"),
    ("{{db_admin['password']}}", "{{db_admin['password']}}", "bad-reference error"),
    ("{{db_admin.password|upper}}", "{{db_admin.password|upper}}", "bad-reference error"),
    ("{{Variables.db_admin.password}}", None, "unknown-reference error"),
    ("{{inputs.name}}", "{{db_admin.password}}", ""),  # a value is never scanned again
    ("{{db_admin.{{inputs.name}}}}", "{{db_admin.{{db_admin.password}}}}", "bad-reference error"),
]


def _becomes(written: str, secret: str) -> str | None:
    """What a text resolves to; None when it is refused, in words without the secret."""
    try:
        return resolve_text(written, _scope(secret))
    except Invalid as refused:
        return secret if secret in str(refused) else None


@pytest.mark.parametrize(("written", "becomes", "said"), SPELLINGS)
def test_a_spelling_gives_no_credential(written: str, becomes: str | None, said: str) -> None:
    for secret in SECRETS:
        assert _becomes(written, secret) == becomes
    gate = {"type": "approval", "approvers": ["role:admin"], "title": written}
    assert [" ".join(each) for each in _proved(gate)] == ([said] if said else [])


@pytest.mark.parametrize(
    ("field", "step"),
    [
        ("title", {"type": "approval", "approvers": ["role:x"]}),
        ("description", {"type": "approval", "approvers": ["role:x"]}),
        ("command", {"type": "command"}),
        ("until", {"type": "delay"}),
        ("reason", {"type": "pam_checkout", "identity": "other"}),
    ],
)
def test_in_every_place_where_references_may_stand_the_author_is_warned(
    field: str, step: dict[str, Any]
) -> None:
    assert _proved({**step, field: "echo {{db_admin.password}}"}) == [("credential-blocked", "warning")]


@pytest.mark.parametrize("shell", ["bash", "powershell"])
def test_a_command_gets_the_marker_as_its_value(shell: Any) -> None:
    bound = bind_command("login {{db_admin.password}} {{db_admin}}", shell, _scope("hunter2"))
    assert set(bound.environment.values()) == {BLOCKED}


def test_only_run_as_takes_a_whole_identity() -> None:
    blocked = {"type": "command", "command": "true", "run_as": "{{db_admin.password}}"}
    assert _proved(blocked) == [("credential-blocked", "warning"), ("no-identity", "error")]
    assert _proved({"type": "command", "command": "true", "run_as": "{{db_admin}}"}) == []
    assert _proved({"type": "command", "command": "echo {{db_admin}}"}) == [("identity-misplaced", "error")]


ORACLES = [
    "{{db_admin.password}} == 'hunter2'",
    "'{{db_admin.password}}' != 'hunter2'",
    "{{db_admin.password}}.startsWith('h')",
    "{{db_admin.password}}.matches('^h')",
    "size({{db_admin.password}}) > 7",
    "{{variables.db_admin.Password}} < 'i'",
    "'hunter2' in [{{db_admin.password}}]",
    "{{db_admin}} == 'hunter2'",
    "{{db_admin}}.password == 'hunter2'",
    "has({{db_admin}}.password)",
    "[{{db_admin}}].exists(x, x == 'hunter2')",
]


@pytest.mark.parametrize("condition", ORACLES)
def test_a_condition_is_no_oracle(condition: str) -> None:
    def answer(secret: str) -> bool | str:
        try:
            return evaluate(condition, _scope(secret))
        except ConditionFailed as failed:
            return str(failed)

    assert answer(SECRETS[0]) == answer(SECRETS[1])
    codes = _proved({"type": "condition", "condition": condition})
    assert {("credential-blocked", "error"), ("identity-misplaced", "error")} & set(codes)


@pytest.mark.parametrize("name", ["inputs", "instance", "variables", "step_scan", "step_"])
def test_an_identity_can_not_be_named_like_something_else(name: str) -> None:
    for field in ("identity", "variable_name"):
        out = {"type": "pam_checkout", "identity": "x", field: name}
        assert ("reserved-name", "error") in _proved(out)
