"""The eight job types the whole way: API, PostgreSQL, the agent, a real process, and back."""

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.live.stack import LiveStack, until


def ended(live: LiveStack, type_: str, payload: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Dispatch one job to host-1 and wait for its end."""
    made = live.admin.post("/jobs", json={"type": type_, "hosts": ["host-1"], "payload": payload, **more})
    assert made.status_code == 201, made.text
    (job,) = made.json()["jobs"]

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = live.admin.get(f"/jobs/{job}").json()
        return found

    until(lambda: shown()["ended_at"], 60, f"the {type_} job to end")
    return shown()


def stdout(live: LiveStack, job: dict[str, Any]) -> str:
    chunks = live.admin.get(f"/jobs/{job['id']}/output").json()["items"]
    return b"".join(
        base64.b64decode(chunk["base64"]) if chunk["base64"] else chunk["text"].encode() for chunk in chunks
    ).decode()


@pytest.mark.root
def test_each_type_is_executed_and_has_the_manuals_priority(live: LiveStack, tmp_path: Path) -> None:
    port = int(live.stack.url.rpartition(":")[2])
    victim = subprocess.Popen(["sleep", "600"])
    missing = "og-no-such-thing"
    expected = [
        ("script", {"language": "python", "content": "print(6 * 7)"}, "normal", "completed", "42\n"),
        ("command", {"command": "echo good"}, "normal", "completed", "good\n"),
        ("service_control", {"action": "start", "service": missing}, "critical", "failed", ""),
        ("process_control", {"action": "kill", "pid": victim.pid}, "critical", "completed", "has ended"),
        (
            "network_diagnostic",
            {"action": "port_check", "host": "127.0.0.1", "port": port},
            "high",
            "completed",
            f"port {port} is open",
        ),
        ("software_install", {"action": "remove", "packages": [missing]}, "normal", "failed", ""),
        ("user_control", {"action": "enable", "user": missing}, "critical", "failed", ""),
        ("group_control", {"action": "delete", "group": missing}, "critical", "failed", ""),
    ]
    for type_, payload, priority, status, printed in expected:
        job = ended(live, type_, payload)
        assert (job["status"], job["priority"], job["outcome"]) == (status, priority, "exited"), job
        assert printed in stdout(live, job)
    assert victim.wait(5) == -15


def test_a_critical_type_can_not_be_lowered(live: LiveStack) -> None:
    payload = {"action": "status", "service": "og-no-such-thing"}
    assert ended(live, "service_control", payload, priority="low")["priority"] == "critical"


@pytest.mark.root
def test_a_command_runs_as_the_user_it_names(live: LiveStack) -> None:
    job = ended(live, "command", {"command": 'id -un; echo "$HOME $USER $LOGNAME"', "run_as": "daemon"})
    assert stdout(live, job).splitlines() == ["daemon", "/usr/sbin daemon daemon"]


def test_a_user_that_is_not_there_fails_the_job_in_words(live: LiveStack) -> None:
    job = ended(live, "command", {"command": "true", "run_as": "og-nobody"})
    assert (job["status"], job["outcome"]) == ("failed", "refused")
    assert job["reason"] == "The job runs as og-nobody, and this host has no such user."
