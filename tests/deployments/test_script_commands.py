"""The versions of scripts and libraries from the command line, against a real web process."""

from pathlib import Path

import httpx2
import pytest

from deployments.cli.profile import NAME, read
from tests.deployments.conftest import Opsgate, Server

PARAMETERS = [
    {"name": "size", "type": "choice", "choices": ["s", "l"], "default": "s", "description": "How much"},
    {"name": "key", "type": "secret", "required": True},
]


@pytest.fixture
def name(server: Server, request: pytest.FixtureRequest) -> str:
    """Of a library with two versions and of a script that links it."""
    profile = read(server.folder.path / NAME)
    assert profile is not None
    name = str(request.node.name).replace("_", "-")[:60].strip("[]-")
    headers = {"Authorization": f"Bearer {profile.token}"}
    with httpx2.Client(base_url=f"{server.url}/api/v1", headers=headers) as api:
        for path, more in (
            ("libraries", {"content": "f() { echo 1; }"}),
            ("libraries", {"content": "f() { echo 2; }"}),
            ("scripts", {"content": "f", "libraries": [name], "parameters": PARAMETERS}),
        ):
            document = {"language": "bash", **more}
            api.put(f"/{path}/by-name/{name}", json=document).raise_for_status()
    return name


def test_a_library_is_looked_at_compared_and_taken_back(opsgate: Opsgate, server: Server, name: str):
    assert "f() { echo 2; }" in opsgate("library", "show", name, beside=server).out
    assert "f() { echo 1; }" in opsgate("library", "show", name, "--version", "1").out
    assert "-f() { echo 1; }\n+f() { echo 2; }" in opsgate("library", "diff", name, "1").out
    assert opsgate("library", "diff", name, "2", "2").out == "They are the same.\n"
    assert "now version 3" in opsgate("library", "rollback", name, "1").out
    assert [row["version"] for row in opsgate("library", "versions", name, "--json").json] == [3, 2, 1]
    assert "+f() { echo 1; }" in opsgate("library", "diff", name, "2", "3", "--json").json["content"]


def test_what_needs_a_library_is_named(opsgate: Opsgate, server: Server, name: str):
    refused = opsgate("library", "archive", name, beside=server)
    assert (refused.code, f"the script '{name}'" in refused.err) == (1, True)
    assert opsgate("script", "archive", name).code == 0
    assert opsgate("library", "archive", name).out == f"{name} is archived.\n"
    assert name not in [row["name"] for row in opsgate("library", "list", "--json").json]
    assert name in [row["name"] for row in opsgate("library", "list", "--archived", "--json").json]


def test_a_script_says_what_it_takes_and_what_it_links(opsgate: Opsgate, server: Server, name: str):
    shown = opsgate("script", "show", name, beside=server).out
    assert f"libraries: {name}" in shown
    assert (
        "\n    size: choice, default s, choices s, l, description How much\n    key: secret, required\n"
        in shown
    )
    assert opsgate("script", "executions", name).out == "Nothing here.\n"
    assert opsgate("script", "versions", name, "--json").json[0]["version"] == 1


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_moment_that_is_none_is_wrong_use(opsgate: Opsgate, server: Server, option: str):
    done = opsgate("script", "executions", "any", option, "yesterday", beside=server)
    assert (done.code, f"{option} 'yesterday'" in done.err) == (2, True)


def test_an_execution_that_is_not_there_is_said_so(opsgate: Opsgate, server: Server):
    for command in (("rerun", "999999"), ("download", "999999", "--to", "file")):
        done = opsgate("script", *command, beside=server)
        assert (done.code, "There is no execution 999999." in done.err) == (1, True)
    assert not Path("file").exists()
