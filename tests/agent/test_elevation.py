"""Elevation: root just runs; another user needs sudo without a password, or the job is refused.

A stand-in for sudo records its arguments and becomes the command with an empty environment,
as sudo does; everything behind it is real.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from agent import environment, interpreters
from agent.payloads import CommandPayload, ScriptPayload, ServiceControlPayload, UserControlPayload
from agent.program import CannotRun

LISTS_ENVIRONMENT = "import json, os, sys; print(json.dumps([dict(os.environ), sys.stdin.read()]))"


@pytest.fixture
def unprivileged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The agent believes to be an ordinary user; programs are looked for here first."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    monkeypatch.setattr(environment, "PATH", f"{programs}:{environment.PATH}")
    return programs


def sudo(programs: Path, *, allowed: bool) -> Path:
    log = programs / "sudo.log"
    become = 'shift; [ "$1" = -- ] && shift; exec /usr/bin/env -i "$@"' if allowed else "exit 1"
    (programs / "sudo").write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" >> {log}\n{become}\n')
    (programs / "sudo").chmod(0o755)
    return log


def job(**more: object) -> ScriptPayload:
    values = {"PARAM_SECRETISH": "ca'na\"ry $(x)\n"}
    return ScriptPayload(
        language="python", content=LISTS_ENVIRONMENT, environment=values, requires_elevation=True, **more
    )


def folder(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


async def test_without_sudo_on_the_host_the_job_is_refused(unprivileged, tmp_path, monkeypatch):
    for program in ("bash", "python3"):
        (unprivileged / program).symlink_to(str(shutil.which(program, path=environment.PATH)))
    monkeypatch.setattr(environment, "PATH", str(unprivileged))
    with pytest.raises(CannotRun, match="sudo is not on this host"):
        await interpreters.prepare(job(), folder(tmp_path))


async def test_without_the_right_to_use_sudo_the_job_is_refused(unprivileged, tmp_path):
    sudo(unprivileged, allowed=False)
    with pytest.raises(CannotRun, match="may not use sudo without a password"):
        await interpreters.prepare(job(), folder(tmp_path))


async def test_values_pass_through_sudo_by_standard_input_and_never_by_argv(unprivileged, tmp_path):
    log = sudo(unprivileged, allowed=True)
    launch = await interpreters.prepare(job(), folder(tmp_path))
    assert launch.stdin is not None
    assert launch.stdin.stat().st_mode & 0o077 == 0
    with launch.stdin.open("rb") as stdin:
        done = subprocess.run(
            launch.argv,
            env=launch.environment,
            stdin=stdin,
            capture_output=True,
            cwd=launch.folder,
            check=True,
        )
    found, rest_of_stdin = json.loads(done.stdout)
    assert found == {
        "PATH": environment.PATH,
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PARAM_SECRETISH": "ca'na\"ry $(x)\n",
    }
    assert rest_of_stdin == ""
    assert "ca'na" not in log.read_text()
    assert "PARAM_SECRETISH" not in launch.environment


async def test_a_job_without_elevation_does_not_touch_sudo(unprivileged, tmp_path):
    log = sudo(unprivileged, allowed=True)
    launch = await interpreters.prepare(CommandPayload(command="true"), folder(tmp_path))
    assert not any("sudo" in argument for argument in launch.argv)
    assert not log.exists()


async def test_what_only_root_can_do_is_elevated_without_being_asked_to(unprivileged, tmp_path):
    log = sudo(unprivileged, allowed=True)
    (unprivileged / "useradd").write_text('#!/bin/sh\necho "$HOME" "$@"\n')
    (unprivileged / "useradd").chmod(0o755)
    payload = UserControlPayload(action="create", user="alice")
    launch = await interpreters.prepare(payload, folder(tmp_path))
    assert launch.stdin is not None
    with launch.stdin.open("rb") as stdin:
        done = subprocess.run(
            launch.argv, env=launch.environment, stdin=stdin, capture_output=True, text=True, check=True
        )
    assert done.stdout == "/root --create-home -- alice\n"
    assert log.exists()


async def test_what_only_root_can_do_is_refused_to_an_agent_without_the_right(unprivileged, tmp_path):
    sudo(unprivileged, allowed=False)
    payload = UserControlPayload(action="reset_password", user="alice")
    with pytest.raises(CannotRun, match=r"The user_control job requires elevation, .* may not use sudo"):
        await interpreters.prepare(payload, folder(tmp_path))


async def test_telling_how_a_service_is_needs_no_elevation(unprivileged, tmp_path):
    log = sudo(unprivileged, allowed=False)
    for tool in ("systemctl", "service"):
        (unprivileged / tool).touch(mode=0o755)
    payload = ServiceControlPayload(action="status", service="cron")
    assert (await interpreters.prepare(payload, folder(tmp_path))).stdin is None
    assert not log.exists()
