"""`service_control` on a real SysV init script; systemd's and Windows' exact command lines."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import processes, program
from agent.kinds import service_control
from agent.payloads import ServiceControlPayload

INIT_SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          {name}
# Required-Start:    $remote_fs
# Required-Stop:     $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: sleeps
### END INIT INFO
PIDFILE={pid_file}
running() {{ [ -s $PIDFILE ] && kill -0 "$(cat $PIDFILE)" 2>/dev/null; }}
start() {{ running || {{ setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $! >$PIDFILE; }} }}
stop() {{ running && kill "$(cat $PIDFILE)"; rm -f $PIDFILE; }}
case "$1" in
  start) start ;;
  stop) stop ;;
  restart) stop; start ;;
  status) if running; then echo runs; else echo stands still; exit 3; fi ;;
  *) exit 2 ;;
esac
"""

sysv = [
    pytest.mark.root,
    pytest.mark.skipif(service_control.SYSTEMD.is_dir(), reason="systemd runs here: init scripts are its"),
    pytest.mark.skipif(not program.has("service"), reason="no `service` here (init-system-helpers)"),
]


@pytest.fixture
def daemon(name: str, tmp_path: Path) -> Iterator[Path]:
    """A service of this host, by an init script of ours; the file where its pid stands."""
    pid_file = tmp_path / "pid"
    script = Path("/etc/init.d") / name
    script.write_text(INIT_SCRIPT.format(name=name, pid_file=pid_file))
    script.chmod(0o755)
    yield pid_file
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(pid_file.read_text()), 9)
    script.unlink()
    for link in Path("/etc").glob(f"rc?.d/*{name}"):
        link.unlink()


def links(name: str) -> set[str]:
    """How it is linked into the runlevels: S starts it, K stops it."""
    return {link.name[0] for link in Path("/etc").glob(f"rc[2345].d/*{name}")}


class TestSysV:
    pytestmark = sysv

    async def test_a_started_service_outlives_the_job_that_started_it(self, run, daemon, name):
        done = await run("service_control", action="start", service=name)
        assert (done.outcome, done.exit_code) == ("exited", 0), done
        assert processes.look_up(int(daemon.read_text())) is not None

    async def test_restart_makes_another_process_of_it_and_stop_ends_it(self, run, daemon, name):
        await run("service_control", action="start", service=name)
        first = int(daemon.read_text())
        assert (await run("service_control", action="restart", service=name)).exit_code == 0
        second = int(daemon.read_text())
        assert second != first
        assert processes.look_up(first) is None
        assert (await run("service_control", action="stop", service=name)).exit_code == 0
        assert processes.look_up(second) is None

    async def test_status_says_how_it_is_by_words_and_exit_code(self, run, daemon, name):
        done = await run("service_control", action="status", service=name)
        assert (done.exit_code, done.out) == (3, "stands still\n")
        await run("service_control", action="start", service=name)
        done = await run("service_control", action="status", service=name)
        assert (done.exit_code, done.out) == (0, "runs\n")

    async def test_enable_and_disable_decide_about_the_next_boot(self, run, daemon, name):
        assert links(name) == set()
        for action, letter in (("enable", "S"), ("disable", "K"), ("enable", "S")):
            done = await run("service_control", action=action, service=name)
            assert done.exit_code == 0, done.err
            assert links(name) == {letter}
        assert not daemon.exists()

    async def test_a_service_that_is_not_there_fails_in_the_hosts_own_words(self, run, name):
        done = await run("service_control", action="start", service=name)
        assert (done.outcome, done.exit_code) == ("exited", 1)
        assert "unrecognized service" in done.err


def command_of(folder: Path, action: str) -> program.Program:
    return service_control.program(ServiceControlPayload(action=action, service="cron"), folder)


@pytest.mark.parametrize("action", ["start", "stop", "restart", "enable", "disable", "status"])
def test_systemd_is_asked_where_it_runs_the_services(action, tmp_path, monkeypatch):
    monkeypatch.setattr(service_control, "SYSTEMD", tmp_path)
    (tmp_path / "systemctl").touch(mode=0o755)
    monkeypatch.setattr("agent.environment.PATH", str(tmp_path))
    made = command_of(tmp_path, action)
    options = ["--no-pager", "--no-ask-password"]
    assert made.argv == [f"{tmp_path}/systemctl", *options, action, "--", "cron"]
    assert made.needs_root == (action != "status")


@pytest.mark.parametrize(("action", "word"), [("enable", "on"), ("disable", "off")])
def test_where_there_is_no_update_rc_d_chkconfig_decides_about_the_next_boot(
    action, word, tmp_path, monkeypatch
):
    monkeypatch.setattr(service_control, "SYSTEMD", tmp_path / "none")
    (tmp_path / "chkconfig").touch(mode=0o755)
    monkeypatch.setattr("agent.environment.PATH", str(tmp_path))
    assert command_of(tmp_path, action).argv == [f"{tmp_path}/chkconfig", "cron", word]


def test_a_host_without_any_of_the_tools_says_which_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(service_control, "SYSTEMD", tmp_path / "none")
    monkeypatch.setattr("agent.environment.PATH", str(tmp_path))
    with pytest.raises(program.CannotRun, match="service is not on this host: there is no service in"):
        command_of(tmp_path, "start")


@pytest.mark.parametrize(
    ("action", "commands"),
    [
        ("start", [["net.exe", "start", "cron"]]),
        ("stop", [["net.exe", "stop", "cron", "/y"]]),
        ("restart", [["net.exe", "stop", "cron", "/y"], ["net.exe", "start", "cron"]]),
        ("enable", [["sc.exe", "config", "cron", "start=", "auto"]]),
        ("disable", [["sc.exe", "config", "cron", "start=", "disabled"]]),
        ("status", [["sc.exe", "query", "cron"]]),
    ],
)
def test_the_command_lines_on_windows(action, commands):
    assert service_control.windows(ServiceControlPayload(action=action, service="cron")) == commands
