"""The measures of the house: sizes, docstrings, silenced checks. Exceptions are in exceptions.toml."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("definitions", "store", "tasks", "flows", "agent_api", "approvals_ui", "deployments", "agent")
SOURCES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "node_modules" not in path.parts
)
TESTS = sorted(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
EXCEPTIONS = tomllib.loads((Path(__file__).parent / "exceptions.toml").read_text())

FILE_LIMIT = 400
FUNCTION_LIMIT = 60


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno + 1 > FUNCTION_LIMIT:
                yield f"{name_of(path)}:{node.name}"


def test_files_are_short_except_those_listed():
    long = {name_of(path) for path in SOURCES + TESTS if len(path.read_text().splitlines()) > FILE_LIMIT}
    assert long == set(EXCEPTIONS["long_files"])


def test_functions_fit_on_a_screen_except_those_listed():
    found = {name for path in SOURCES for name in long_functions(path)}
    assert found == set(EXCEPTIONS["long_functions"])


def test_every_module_says_what_it_holds():
    silent = [name_of(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


SILENCED = re.compile(r"#\s*type:\s*ignore")
SILENCED_WITH_REASON = re.compile(r"#\s*type:\s*ignore\[[\w, -]+\]\s+#\s*\S")


def test_a_silenced_type_check_gives_its_reason():
    bare = [
        f"{name_of(path)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if SILENCED.search(line) and not SILENCED_WITH_REASON.search(line)
    ]
    assert bare == []


@pytest.mark.parametrize("module", ["pickle", "cloudpickle", "marshal", "shelve", "dill"])
def test_nothing_unpickles(module: str):
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert module not in {alias.name.split(".")[0] for alias in node.names}, name_of(path)
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] != module, name_of(path)


def test_nobody_calls_eval_or_exec():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, f"{name_of(path)}:{node.lineno}"


def test_no_module_has_a_name_that_says_nothing():
    nothing = {
        "utils",
        "util",
        "helpers",
        "helper",
        "common",
        "misc",
        "manager",
        "base",
        "service",
        "services",
    }
    assert [name_of(path) for path in SOURCES if path.stem in nothing] == []
