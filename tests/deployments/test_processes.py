"""Child processes: restarted when they die, given up when they keep dying, never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from definitions.errors import Unavailable
from deployments.stack.processes import Child, Processes


def child(folder: Path, program: str, patience: float = 5) -> Child:
    command = [sys.executable, "-c", program]
    return Child("part", command, folder / "part.log", environment={"MARK": "built"}, patience=patience)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_child_sees_only_the_environment_built_for_it(tmp_path: Path):
    processes = Processes()
    log = tmp_path / "part.log"
    await processes.start(
        child(tmp_path, "import os, time; print(dict(os.environ), flush=True); time.sleep(60)")
    )
    await until(lambda: log.exists() and log.read_text().endswith("}\n"))
    await processes.stop()
    seen = log.read_text()
    assert "'MARK': 'built'" in seen
    assert "PATH" not in seen


async def test_a_child_that_dies_is_started_again(tmp_path: Path):
    processes = Processes()
    await processes.start(child(tmp_path, "import time; time.sleep(60)"))
    first = processes.pid("part")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: processes.pid("part") not in (None, first))
    second = processes.pid("part")
    assert second is not None
    await processes.stop()
    assert not is_alive(second)


async def test_a_child_that_keeps_dying_is_given_up_and_the_log_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("deployments.stack.processes.RESTARTS", 2)
    processes = Processes()
    part = child(tmp_path, "raise SystemExit(1)")
    await processes.start(part)
    with pytest.raises(Unavailable, match=r"part\.log"):
        await processes.until(lambda: False, part, seconds=20)
    await processes.stop()


async def test_a_restart_that_fails_is_tried_again(tmp_path: Path, monkeypatch):
    processes = Processes()
    await processes.start(child(tmp_path, "import time; time.sleep(60)"))
    first = processes.pid("part")
    assert first is not None
    spawn, refusals = Processes._spawn, iter([BlockingIOError(11, "no more processes"), None])

    async def sometimes(self, part):
        refusal = next(refusals)
        if refusal is not None:
            raise refusal
        return await spawn(self, part)

    monkeypatch.setattr(Processes, "_spawn", sometimes)
    os.kill(first, signal.SIGKILL)
    await until(lambda: processes.pid("part") not in (None, first))
    assert "no more processes" in (tmp_path / "part.log").read_text()
    await processes.stop()


async def test_waiting_for_a_child_that_never_answers_ends(tmp_path: Path):
    processes = Processes()
    part = child(tmp_path, "import time; time.sleep(60)")
    await processes.start(part)
    with pytest.raises(Unavailable, match="did not answer"):
        await processes.until(lambda: False, part, seconds=0.3)
    await processes.stop()


async def test_a_child_that_ignores_the_signal_is_killed_with_its_group(tmp_path: Path):
    program = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if (pid := os.fork()) == 0: time.sleep(60)\n"
        "print(pid, flush=True); time.sleep(60)\n"
    )
    processes = Processes()
    log = tmp_path / "part.log"
    await processes.start(child(tmp_path, program, patience=0.3))
    await until(lambda: log.exists() and log.read_text().strip())
    grandchild = int(log.read_text())
    pid = processes.pid("part")
    assert pid is not None
    await processes.stop()
    assert not is_alive(pid)
    await until(lambda: not is_alive(grandchild))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux only")
def test_children_end_when_the_stack_itself_is_killed(tmp_path: Path):
    program = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from deployments.stack.processes import Child, Processes\n"
        "async def main():\n"
        "    processes = Processes()\n"
        "    command = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "    await processes.start(Child('part', command, Path(sys.argv[1]) / 'log'))\n"
        "    print(processes.pid('part'), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    stack = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE)
    assert stack.stdout is not None
    with stack.stdout:
        pid = int(stack.stdout.readline())
        assert is_alive(pid)
        stack.kill()
        stack.wait()
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)
