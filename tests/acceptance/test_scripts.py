"""Scripts with libraries on a real host: run by hand, again where they failed, and in a workflow."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.live.stack import LiveStack


def put(live: LiveStack, path: str, name: str, **document: Any) -> None:
    answer = live.admin.put(f"/{path}/by-name/{name}", json={"name": name, **document})
    assert answer.status_code in (200, 201), answer.text


def opsgate(live: LiveStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    token = live.admin.headers["Authorization"].removeprefix("Bearer ")
    environment = {**os.environ, "OPSGATE_URL": live.stack.url, "OPSGATE_TOKEN": token}
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("language", "library", "script"),
    [
        ("bash", 'greet() { echo "hello $1"; }', '#!/bin/bash\ngreet "$PARAM_WHO"'),
        (
            "python",
            "from __future__ import annotations\ndef greet(who: str) -> str: return f'hello {who}'",
            '"""Greets."""\nfrom __future__ import division\n'
            'import os\nprint(greet(os.environ["PARAM_WHO"]))',
        ),
    ],
)
def test_a_script_calls_what_its_library_defines(
    live: LiveStack, language: str, library: str, script: str
) -> None:
    put(live, "libraries", f"greet-{language}", language=language, content=library)
    who = {"name": "who", "type": "string"}
    linked = {"libraries": [f"greet-{language}"], "parameters": [who]}
    put(live, "scripts", f"hello-{language}", language=language, content=script, **linked)
    ran = opsgate(live, "script", "run", f"hello-{language}", "--host", "host-1", "--param", "who=$(id) 'x'")
    assert (ran.returncode, ran.stdout.splitlines()[1:]) == (0, ["hello $(id) 'x'"])


def test_it_runs_again_only_where_it_failed(live: LiveStack, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    content = f"echo tried; test -e {mended} || {{ echo no disk left >&2; exit 4; }}"
    put(live, "scripts", "mend", language="bash", content=content)
    first = opsgate(live, "script", "run", "mend", "--host", "host-1")
    assert (first.returncode, "no disk left" in first.stderr) == (1, True)
    (listed,) = json.loads(
        opsgate(live, "script", "executions", "mend", "--search", "disk left", "--json").stdout
    )
    assert (listed["exit_code"], listed["stdout"], listed["stderr"]) == (4, "tried\n", "no disk left\n")
    assert f"opsgate script rerun {listed['execution_id']} --failed" in first.stderr
    mended.touch()
    second = opsgate(live, "script", "rerun", str(listed["execution_id"]), "--failed")
    assert second.returncode == 0, second.stderr
    third = opsgate(live, "script", "rerun", str(listed["execution_id"] + 1), "--failed")
    assert (third.returncode, "failed or timed out" in third.stderr) == (1, True)
    file = tmp_path / "results.jsonl"
    assert opsgate(live, "script", "download", str(listed["execution_id"]), "--to", str(file)).returncode == 0
    (line,) = file.read_text().splitlines()
    assert opsgate(live, "script", "download", str(listed["execution_id"])).stdout == line + "\n"
    assert opsgate(live, "script", "download", str(listed["execution_id"]), "--to", str(file)).returncode == 2
    assert (json.loads(line)["host"], json.loads(line)["stderr"]) == ("host-1", "no disk left\n")


def test_every_step_of_an_instance_runs_the_library_it_started_with(live: LiveStack) -> None:
    put(live, "libraries", "which", language="bash", content="which_one() { echo first; }")
    put(live, "scripts", "tell", language="bash", content="which_one", libraries=["which"])
    steps = [
        {"id": "one", "type": "script", "script": "tell"},
        {"id": "gate", "type": "approval", "title": "Go on?", "approvers": ["role:approver"]},
        {"id": "two", "type": "script", "script": "tell"},
    ]
    live.publish({"name": "tell-twice", "steps": steps})
    number = live.launch("tell-twice", ["host-1"])
    gate = live.gate(number)
    assert gate["frozen"]["libraries"] == {"which": 1}
    put(live, "libraries", "which", language="bash", content="which_one() { echo second; }")
    assert live.vote(gate).status_code == 200
    assert live.ended(number)["status"] == "completed"
    jobs = live.admin.get("/jobs", params={"instance": number}).json()["items"]
    for job in jobs:
        shown = live.admin.get(f"/jobs/{job['id']}").json()
        assert [(library["name"], library["version"]) for library in shown["libraries"]] == [("which", 1)]
        assert live.admin.get(f"/jobs/{job['id']}/output/download").text == "first\n"
    assert "which version 1" in opsgate(live, "job", "show", str(jobs[0]["id"])).stdout
    assert len(jobs) == 2
    gate = live.gate(live.launch("tell-twice", ["host-1"]))
    assert gate["frozen"]["libraries"] == {"which": 2}
    live.vote(gate, "reject")
