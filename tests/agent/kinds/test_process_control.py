"""`process_control` on real processes: what is meant ends, what runs the agent never does."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import processes
from agent.kinds import process_control
from agent.payloads import ProcessControlPayload
from agent.programs import end_processes

STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes that end with the test at the latest."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*argv: str | Path, **more: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(argv, stdout=subprocess.PIPE, **more))  # type: ignore[call-overload]
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def sleeper(tmp_path: Path, name: str) -> Path:
    """A program of a name that nothing else on this host has."""
    program = tmp_path / name
    shutil.copy(str(shutil.which("sleep")), program)
    return program


async def test_kill_asks_a_process_to_end(run, start):
    process = start("sleep", "600")
    done = await run("process_control", action="kill", pid=process.pid)
    assert (done.exit_code, done.out) == (0, f"Pid {process.pid} has ended.\n")
    assert process.wait(1) == -signal.SIGTERM


async def test_force_kill_does_not_ask(run, start, name):
    process = start("python3", "-c", STUBBORN)
    assert process.stdout is not None
    process.stdout.readline()
    done = await run("process_control", action="force_kill", pid=process.pid)
    assert done.exit_code == 0
    assert process.wait(1) == -signal.SIGKILL


async def test_a_process_that_does_not_want_to_end_is_a_failure(run, start):
    process = start("python3", "-c", STUBBORN)
    assert process.stdout is not None
    process.stdout.readline()
    done = await run("process_control", action="kill", pid=process.pid)
    assert (done.exit_code, done.err) == (1, f"Pid {process.pid} still runs; force_kill does not ask.\n")
    assert process.poll() is None


async def test_all_of_a_name_are_ended_and_no_others(run, start, sleeper, name):
    meant = [start(sleeper, "600") for _ in range(3)]
    other = start("sleep", "600")
    done = await run("process_control", action="kill", name=name)
    assert done.exit_code == 0
    assert sorted(done.out.splitlines()) == sorted(f"Pid {each.pid} has ended." for each in meant)
    assert [each.wait(1) for each in meant] == [-15, -15, -15]
    assert other.poll() is None


def test_more_of_a_name_than_there_are_descriptors_are_ended_all(start, sleeper, name):
    meant = [start(sleeper, "600", stdin=subprocess.DEVNULL) for _ in range(24)]
    program = Path(end_processes.__file__)
    limited = f"ulimit -n 20 && exec {sys.executable} {program} kill name={name} 1"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(f"Pid {each.pid} has ended." for each in meant)
    assert {each.wait(1) for each in meant} == {-signal.SIGTERM}


def test_what_can_not_be_held_is_not_reported_as_ended(start, sleeper, name, monkeypatch, capsys):
    meant = start(sleeper, "600")

    def none_left(pid: int, flags: int = 0) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pidfd_open", none_left)
    for which in (f"name={name}", f"pid={meant.pid}"):
        monkeypatch.setattr(sys, "argv", ["end_processes", "kill", which, "1"])
        assert end_processes.main() == 1
        assert "Too many open files" in capsys.readouterr().err
    assert meant.poll() is None


def test_a_descriptor_of_any_number_can_be_waited_for(start, sleeper, name, capsys):
    process = start(sleeper, "600")
    fd = os.pidfd_open(process.pid)
    high = fcntl.fcntl(fd, fcntl.F_DUPFD, 1500)
    os.close(fd)
    try:
        process.kill()
        assert end_processes._wait(process.pid, high, time.monotonic() + 10)
    finally:
        os.close(high)


async def test_a_long_name_is_meant_whole(run, start, tmp_path):
    programs = [tmp_path / f"og-fifteen-long-{end}" for end in ("one", "two")]
    for program in programs:
        shutil.copy(str(shutil.which("sleep")), program)
    one, two = (start(program, "600") for program in programs)
    assert (await run("process_control", action="kill", name=programs[0].name)).exit_code == 0
    assert one.wait(1) == -signal.SIGTERM
    assert two.poll() is None


LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def begin_with_pid(start: Start, pid: int, *argv: str) -> subprocess.Popen[bytes]:
    """Start a process that gets this pid; others on the host may come between."""
    for _ in range(1000):
        LAST_PID.write_text(str(pid - 1))
        process = start(*argv)
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
    raise AssertionError(f"no process got the pid {pid}")


@pytest.mark.root
@pytest.mark.skipif(not LAST_PID.exists(), reason="this kernel lets nobody choose a pid")
def test_what_got_the_pid_of_a_process_that_was_meant_is_left_alone(start, sleeper, name, monkeypatch):
    meant, others = start(sleeper, "600"), []
    hold = os.pidfd_open

    def too_late(pid: int, flags: int = 0) -> int:
        """At the last moment the process ends, and another one gets its pid."""
        if pid == meant.pid and not others:
            meant.kill()
            meant.wait()
            others.append(begin_with_pid(start, pid, "sleep", "600"))
        return hold(pid, flags)

    monkeypatch.setattr(os, "pidfd_open", too_late)
    monkeypatch.setattr(sys, "argv", ["end_processes", "force_kill", f"name={name}", str(os.getpid())])
    end_processes.main()
    assert others[0].poll() is None


async def test_nothing_to_end_is_a_failure_in_words(run, name):
    done = await run("process_control", action="kill", name=name)
    assert (done.exit_code, done.err) == (1, f"There is no process name {name}.\n")


async def test_the_agent_what_it_runs_in_and_what_runs_for_it_are_never_ended(
    run, server, agent, soon, ended
):
    process = agent.start()
    job = server.add(1, command="sleep 600")
    await job.running.wait()
    await soon(lambda: len(processes.descendants(process.pid, processes.every())) >= 3)
    parents = {each.pid: each.parent for each in processes.every()}
    launcher = next(pid for pid, parent in parents.items() if parent == process.pid)
    supervisors = [pid for pid, parent in parents.items() if parent == launcher]
    assert supervisors
    for pid in (process.pid, launcher, *supervisors, os.getpid()):
        done = await run("process_control", action="force_kill", pid=pid)
        assert (done.exit_code, done.err) == (
            1,
            f"Pid {pid} is the agent or what it runs in: it is not ended.\n",
        )
    assert process.poll() is None
    assert job.report is None
    server.cancel(job)
    await ended(job)


async def test_by_name_the_agent_is_left_out_and_the_others_are_ended(
    run, agent, soon, start, sleeper, name, tmp_path, monkeypatch
):
    """The agent, its launcher and its supervisors have the very name that is to be ended."""
    environment = Path(sys.executable).parents[1]
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    for part in ("pyvenv.cfg", "lib"):
        (tmp_path / "venv" / part).symlink_to(environment / part)
    python = tmp_path / "venv" / "bin" / name
    python.symlink_to(Path(sys.executable).resolve())
    monkeypatch.setattr(sys, "executable", str(python))
    process = agent.start()
    await soon(lambda: Path(f"/proc/{process.pid}/comm").read_text() == f"{name}\n")
    victim = start(sleeper, "600")
    done = await run("process_control", action="force_kill", name=name)
    assert (done.exit_code, done.err) == (0, "")
    assert f"Pid {victim.pid} has ended." in done.out
    assert "4 of this name are the agent or what it runs in: they stay." in done.out
    assert (await run("process_control", action="kill", name=name)).exit_code == 1


def test_process_1_can_not_even_be_named():
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        ProcessControlPayload(action="force_kill", pid=1)


@pytest.mark.parametrize(
    ("payload", "command"),
    [
        ({"action": "kill", "pid": 7}, ["taskkill.exe", "/PID", "7"]),
        ({"action": "force_kill", "name": "a.exe"}, ["taskkill.exe", "/IM", "a.exe", "/F"]),
    ],
)
def test_the_command_lines_on_windows(payload, command):
    made = process_control.windows(ProcessControlPayload(**payload))
    assert made == [*command, "/FI", f"PID ne {os.getpid()}"]
