"""Template strings by grammar and dice through the resolver: no credential appears, nothing crashes.

And the strings are good enough to tell: a copy of the resolver with one guard taken out is caught.
"""

import importlib.util
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from definitions import variables
from definitions.errors import Invalid
from tests.live.sizes import LIMIT_SECONDS, size

SECRET = "hunter2-the-secret"
NEAR = [
    "password",
    "Password",
    "Username",
    "USERNAME",
    "username_",
    "domain_password",
    "secret",
    "private_key",
    "0",
]
ALLOWED: dict[str, Any] = {"username": "dba", "credential_type": "password", "domain": None}
IDENTITY: dict[str, Any] = {**dict.fromkeys(NEAR, SECRET), **ALLOWED}
SHADOW: dict[str, Any] = {"username": SECRET}
"""Of an identity whose name means something else in references."""
ROOTS = [
    "db_admin",
    "DB_ADMIN",
    "variables",
    "inputs",
    "instance",
    "step_scan",
    "step_db_admin",
    "scan",
    "step_",
]
PARTS = [*NEAR, *ALLOWED, *["stdout", "json", "hosts", "web-1", "exit_code", "a", "-"]]
ODD = [
    *["{{", "}}", "{", "}", ".", "..", "$", "'", '"', "\\", "`", "é", "{{db_admin.", "|"],
    " ",
    "\t",
    "\n",
    "echo ",
]
FORMS = ["{{%s}}", "{{%s}}", "{{%s }}", "{{%s", "%s}}", "{{{%s}}}", "'{{%s}}'", '"{{%s}}"']


def _scope(module: ModuleType) -> Any:
    scan = module.StepFacts(hosts=(module.HostFacts(host="web-1", stdout='{"a": ["b"]}', exit_code=0),))
    return module.scope(
        inputs={"a": "{{db_admin.password}}", "0": 1},
        instance={"id": 7, "started_by": "ann"},
        results={"scan": scan},
        # What the engine never puts there: if any of it could be read, it would show here.
        identities={"db_admin": IDENTITY, "variables": SHADOW, "step_db_admin": SHADOW},
    )


def _texts(count: int) -> Iterator[str]:
    dice = random.Random(count)
    for _ in range(count):
        yield "".join(_piece(dice) for _ in range(dice.choice((1, 1, 1, 2, 3, 6))))


def _piece(dice: random.Random) -> str:
    if dice.random() < 0.25:
        return dice.choice(ODD)
    path = [dice.choice(ROOTS), *(dice.choice(PARTS) for _ in range(dice.choice((0, 1, 1, 1, 2, 3))))]
    inside = dice.choice(("", "", "variables.", "variables.variables.", " ", "\t")) + ".".join(path)
    return dice.choice(FORMS) % inside


def _leaks(module: ModuleType, count: int) -> Iterator[str]:
    """Every text that shows the secret; what resolves, binds, runs or fails may never raise anything else."""
    scope = _scope(module)
    ways: list[Any] = [
        module.resolve,
        lambda text, scope: module.bind_command(text, "bash", scope),
        lambda text, scope: module.bind_command(text, "powershell", scope),
        module.resolve_run_as,
        lambda text, scope: module.resolve({"k": [text]}, scope),
    ]
    for number, text in enumerate(_texts(count)):
        try:
            said = str(ways[number % len(ways)](text, scope))
        except Invalid as error:
            said = str(error)
        if SECRET in said:
            yield text


@pytest.mark.timeout(LIMIT_SECONDS)
def test_no_text_resolves_to_a_credential_and_none_crashes() -> None:
    assert list(_leaks(variables, size(20_000, 1_000_000))) == []


GUARDS = {
    "no allow-list": (" or reference.path[1] not in ALLOWED", ""),
    "any case": ("reference.path[1] not in ALLOWED", "reference.path[1].lower() not in ALLOWED"),
    "any beginning": ("reference.path[1] not in ALLOWED", "not reference.path[1].startswith(ALLOWED)"),
    "one more property": ('"credential_type", "domain")', '"credential_type", "domain", "password")'),
    "the whole of it": (
        "    return BLOCKED if is_blocked",
        "    if not rest:\n        return str(scope.identities[root])\n    return BLOCKED if is_blocked",
    ),
    "reserved names": (
        "if root in RESERVED_ROOTS or root not in scope.identities:\n        raise _unresolved(reference",
        "if root not in scope.identities:\n        raise _unresolved(reference",
    ),
}


@pytest.mark.parametrize("guard", GUARDS)
def test_a_resolver_without_one_of_its_guards_is_caught(
    guard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = GUARDS[guard]
    source = Path(variables.__file__).read_text(encoding="utf-8")
    assert source.count(old) == 1
    weakened = tmp_path / "weakened_variables.py"
    weakened.write_text(source.replace(old, new), encoding="utf-8")
    found = importlib.util.spec_from_file_location("weakened_variables", weakened)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "weakened_variables", module)  # dataclasses look there
    found.loader.exec_module(module)
    assert next(_leaks(module, 20_000), None) is not None
