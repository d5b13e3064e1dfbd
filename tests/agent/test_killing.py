"""Nothing of a job outlives it: timeouts, cancels, normal ends and a stopping agent kill the whole tree."""

import signal
import time

import pytest

from agent import processes

# A grandchild in a session of its own whose parent is gone: only a subreaper still knows whose it is.
ESCAPE = """
import os, sys, time, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for fd in (0, 1, 2):
            os.close(fd)
        open(sys.argv[1] if len(sys.argv) > 1 else PIDFILE, "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.wait()
"""


def escape(pid_file) -> str:
    return ESCAPE.replace("PIDFILE", repr(str(pid_file)))


async def pid_in(pid_file, soon) -> int:
    await soon(lambda: pid_file.exists() and pid_file.read_text())
    pid = int(pid_file.read_text())
    assert processes.look_up(pid) is not None
    return pid


async def test_a_timeout_kills_the_tree_with_its_escaped_grandchild(server, agent, ended, soon, tmp_path):
    agent.start()
    content = escape(tmp_path / "pid") + "print('before', flush=True); time.sleep(600)"
    job = server.add(1, language="python", content=content, timeout_seconds=1)
    grandchild = await pid_in(tmp_path / "pid", soon)
    report = await ended(job)
    assert report["outcome"] == "timeout"
    assert report["exit_code"] is None
    assert report["reason"] == "It ran longer than its timeout of 1 seconds."
    assert job.output("stdout") == b"before\n"
    assert processes.look_up(grandchild) is None
    assert 5.9 < report["duration_seconds"] < 9  # it ignores SIGTERM: five seconds were given


async def test_a_timeout_lets_the_job_clean_up_first(server, agent, ended, tmp_path):
    agent.start()
    command = f"trap 'echo cleaned; exit 0' TERM; while :; do sleep 0.05; done; touch {tmp_path}/no"
    job = server.add(1, command=command, timeout_seconds=1)
    report = await ended(job)
    assert report["outcome"] == "timeout"
    assert job.output("stdout") == b"cleaned\n"
    assert report["duration_seconds"] < 4


async def test_a_cancel_takes_less_than_a_second(server, agent, ended, soon, tmp_path):
    agent.start()
    content = escape(tmp_path / "pid") + "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    job = server.add(1, language="python", content=content)
    grandchild = await pid_in(tmp_path / "pid", soon)
    asked = time.monotonic()
    server.cancel(job)
    report = await ended(job)
    assert time.monotonic() - asked < 1.0
    assert (report["outcome"], report["reason"]) == ("cancelled", "It was cancelled.")
    assert processes.look_up(grandchild) is None


async def test_a_cancel_before_the_start_is_acknowledged_runs_nothing(
    server, agent, ended, soon, fault, tmp_path
):
    hit = fault("started", "refuse", times=10_000)
    agent.start()
    job = server.add(1, command=f"touch {tmp_path}/ran")
    await soon(lambda: hit.times < 10_000)
    server.cancel(job)
    report = await ended(job)
    assert (report["outcome"], report["reason"]) == ("cancelled", "It was cancelled. It had not started.")
    assert not (tmp_path / "ran").exists()


async def test_what_a_job_leaves_running_ends_with_it(server, agent, ended, soon, tmp_path):
    agent.start()
    job = server.add(
        1,
        language="python",
        content=escape(tmp_path / "pid")
        + "while not os.path.exists(PIDFILE): pass".replace("PIDFILE", repr(str(tmp_path / "pid"))),
    )
    report = await ended(job)
    assert (report["outcome"], report["exit_code"]) == ("exited", 0)
    assert processes.look_up(int((tmp_path / "pid").read_text())) is None


async def test_output_still_in_a_pipe_when_the_leader_ends_is_kept(server, agent, ended):
    agent.start()
    job = server.add(1, command="exec > >(sleep 0.3; cat); echo late")
    report = await ended(job)
    assert report["exit_code"] == 0
    assert job.output("stdout") == b"late\n"


async def test_a_job_that_is_no_longer_wanted_is_killed_and_forgotten(server, agent, soon, tmp_path):
    agent.start()
    job = server.add(1, language="python", content=escape(tmp_path / "pid") + "time.sleep(600)")
    grandchild = await pid_in(tmp_path / "pid", soon)
    job.status = "gone"
    server.forget = [{"job_id": 1, "attempt": 1}]
    server.nudge()
    await soon(lambda: processes.look_up(grandchild) is None, 2)
    await soon(lambda: server.polls[-1]["holding"] == [])
    assert job.completed_posts == 0


async def test_a_stopping_agent_waits_for_running_jobs_and_takes_no_more(server, agent, ended, soon):
    process = agent.start()
    job = server.add(1, command="sleep 1; echo done")
    await job.running.wait()
    process.send_signal(signal.SIGTERM)
    await soon(lambda: server.polls[-1]["free_slots"] == 0)
    late = server.add(2, command="true")
    assert await agent.exit_code() == 0
    assert (await ended(job))["exit_code"] == 0
    assert job.output("stdout") == b"done\n"
    assert late.status == "queued"


@pytest.mark.parametrize("hurry", [False, True], ids=["after its grace", "at a second signal"])
async def test_a_stopping_agent_kills_what_takes_too_long(hurry, server, agent, ended, soon, tmp_path):
    process = agent.start("--grace", "30" if hurry else "0.5")
    job = server.add(1, language="python", content=escape(tmp_path / "pid") + "time.sleep(600)")
    grandchild = await pid_in(tmp_path / "pid", soon)
    process.send_signal(signal.SIGTERM)
    if hurry:
        await soon(lambda: server.polls[-1]["free_slots"] == 0)
        process.send_signal(signal.SIGTERM)
    report = await ended(job)
    assert (report["outcome"], report["reason"]) == ("interrupted", "The agent was stopped while it ran.")
    assert await agent.exit_code() == 0
    assert processes.look_up(grandchild) is None
