"""Instances and versions of workflows from the command line, against a real web process."""

from typing import Any

import pytest

from tests.deployments.conftest import Enrol, Opsgate, Server

WORKFLOW = "kind: workflow\nname: {name}\nsteps:\n  - {{id: wait, type: delay, seconds: {seconds}}}\n"


@pytest.fixture
def name(opsgate: Opsgate, server: Server, tmp_path: Any, request: pytest.FixtureRequest) -> str:
    """Of a workflow with two published versions."""
    name = str(request.node.name).replace("_", "-")[:50].strip("[]-")
    for seconds in (5, 60):
        (tmp_path / "w.yaml").write_text(WORKFLOW.format(name=name, seconds=seconds))
        assert opsgate("apply", "-f", str(tmp_path), beside=server).code == 0
    return name


def test_versions_are_compared_and_gone_back_to(opsgate: Opsgate, name: str):
    assert '-    "seconds": 5\n+    "seconds": 60' in opsgate("workflow", "diff", name, "1").out.replace(
        ",", ""
    )
    assert "now version 3" in opsgate("workflow", "rollback", name, "1").out
    rows = opsgate("workflow", "versions", name, "--json").json
    assert [(row["version"], row["published_by_name"]) for row in rows] == [(n, "admin") for n in (3, 2, 1)]


def test_an_instance_is_found_resumed_and_run_again(opsgate: Opsgate, enrol: Enrol, name: str):
    host = enrol("i")
    number = opsgate("workflow", "start", name, "--host", host, "--json").json["id"]
    assert "it goes on by itself" in opsgate("instance", "resume", str(number)).err
    assert opsgate("instance", "cancel", str(number), "--reason", "wrong day").code == 0
    options = (
        "--workflow",
        name,
        "--status",
        "cancelled",
        "--host",
        host,
        "--since",
        "1h",
        "--search",
        "WRONG",
    )
    assert [row["id"] for row in opsgate("instance", "list", *options, "--json").json] == [number]
    assert opsgate("instance", "list", *options, "--started-by", "bob", "--json").json == []
    assert opsgate("instance", "resume", str(number)).out == f"Instance {number} goes on at wait.\n"
    shown = opsgate("instance", "show", str(number)).out
    assert "resumed by admin at wait; it had ended as cancelled: Cancelled by admin: wrong day" in shown
    opsgate("workflow", "rollback", name, "1")
    again = opsgate("instance", "rerun", str(number), "--json").json
    same = opsgate("instance", "rerun", str(number), "--same-version", "--json").json
    assert [(each["workflow_version"], each["rerun_of"]) for each in (again, same)] == [
        (3, number),
        (2, number),
    ]
