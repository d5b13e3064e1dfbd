"""The eight job types the whole way: API, PostgreSQL, the agent, a real process, and back."""

import base64
import ctypes
import secrets
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


def opens(user: str, password: str) -> bool:
    """Whether it is the user's password: the host's own crypt makes the same of it."""
    line = next(line for line in Path("/etc/shadow").read_text().splitlines() if line.startswith(f"{user}:"))
    kept = line.split(":")[1].encode()
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    made: bytes = crypt(password.encode(), kept)
    return made == kept


@pytest.mark.root
def test_a_password_that_is_given_is_the_users_own_from_then_on(live: LiveStack) -> None:
    user, password = f"og-{secrets.token_hex(4)}", "corr:ect hörse $(id) '\""
    subprocess.run(["useradd", user], check=True)
    try:
        reset = {"action": "reset_password", "user": user}
        job = ended(live, "user_control", reset, secrets={"password": password})
        assert (job["status"], job["payload"]["secrets"]) == ("completed", ["PARAM_PASSWORD_FILE"])
        assert stdout(live, job) == f"The password of {user} is now the one given.\n"
        assert opens(user, password)
        ended(live, "user_control", reset)
        assert not opens(user, password)
    finally:
        subprocess.run(["userdel", user], check=True)


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
