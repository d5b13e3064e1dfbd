"""An attempt executes at most once and its result arrives exactly once, whatever dies or gets lost.

Each job appends a line to a ledger file: what ran is what stands there.
"""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from agent import processes


def line(ledger: Path) -> str:
    return f"echo ran >> {ledger}"


def ran(ledger: Path) -> int:
    return len(ledger.read_text().splitlines()) if ledger.exists() else 0


async def test_kill_9_mid_job_ends_it_as_interrupted_and_never_runs_it_again(
    server, agent, ended, soon, tmp_path
):
    ledger = tmp_path / "ledger"
    agent.start()
    job = server.add(1, command=f"{line(ledger)}; echo seen; echo $$ > {tmp_path}/pid; sleep 600")
    await soon(lambda: job.output("stdout") == b"seen\n")
    leader = int((tmp_path / "pid").read_text())
    agent.kill_9()
    await soon(lambda: processes.look_up(leader) is None, 3)  # its supervisor noticed
    agent.start()
    report = await ended(job)
    assert report["outcome"] == "interrupted"
    assert job.output("stdout") == b"seen\n"
    after = server.add(2, command="true")
    await ended(after)
    assert ran(ledger) == 1


async def test_a_tree_whose_supervisor_died_too_is_killed_at_the_next_start(
    server, agent, ended, soon, tmp_path
):
    ledger = tmp_path / "ledger"
    process = agent.start()
    job = server.add(1, command=f"{line(ledger)}; echo $$ > {tmp_path}/pid; sleep 600 & sleep 600")
    await soon(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    leader = int((tmp_path / "pid").read_text())
    await soon(lambda: b"supervisor" in (agent.folder / "journal").read_bytes())
    supervisor = processes.look_up(leader).parent
    launcher = processes.look_up(supervisor).parent
    for pid in (launcher, process.pid, supervisor):
        os.kill(pid, signal.SIGKILL)
    process.wait(5)
    assert processes.look_up(leader) is not None
    agent.start()
    assert (await ended(job))["outcome"] == "interrupted"
    assert processes.look_up(leader) is None
    assert not [p for p in processes.every() if p.session == leader]
    assert ran(ledger) == 1


async def test_output_spooled_while_the_server_was_away_survives_the_agents_death(
    server, agent, ended, soon, tmp_path
):
    agent.start()
    job = server.add(
        1, command=f"echo one; while [ ! -e {tmp_path}/gate ]; do sleep 0.02; done; echo two; sleep 600"
    )
    await soon(lambda: job.output("stdout") == b"one\n")
    await server.go_away()
    (tmp_path / "gate").touch()
    spool = agent.folder / "spool" / "1-1.stdout"
    await soon(lambda: b"two\n" in spool.read_bytes())
    agent.kill_9()
    await server.come()
    agent.start()
    assert (await ended(job))["outcome"] == "interrupted"
    assert job.output("stdout") == b"one\ntwo\n"


async def test_work_goes_on_while_the_server_is_away_and_the_result_arrives_once(
    server, agent, ended, soon, tmp_path
):
    ledger = tmp_path / "ledger"
    agent.start()
    job = server.add(1, command=f"{line(ledger)}; echo a; sleep 1; echo b; touch {tmp_path}/done")
    await job.running.wait()
    await server.go_away()
    await soon((tmp_path / "done").exists)
    await asyncio.sleep(1.5)
    assert job.report is None
    await server.come()
    report = await ended(job)
    assert (report["outcome"], report["exit_code"]) == ("exited", 0)
    assert job.output("stdout") == b"a\nb\n"
    assert (ran(ledger), job.completed_posts) == (1, 1)


async def test_a_result_is_held_over_a_restart_while_the_server_is_away(server, agent, ended, soon, tmp_path):
    ledger = tmp_path / "ledger"
    agent.start()
    job = server.add(1, command=f"{line(ledger)}; sleep 0.3; echo result")
    await job.running.wait()
    await server.go_away()
    await soon(lambda: b'"completed"' in (agent.folder / "journal").read_bytes())
    agent.kill_9()
    await server.come()
    agent.start()
    report = await ended(job)
    assert (report["outcome"], report["exit_code"]) == ("exited", 0)
    assert job.output("stdout") == b"result\n"
    assert ran(ledger) == 1


@pytest.mark.parametrize("kind", ["drop", "refuse", "html"])
async def test_lost_answers_run_and_report_nothing_twice(kind, server, agent, ended, soon, fault, tmp_path):
    ledger = tmp_path / "ledger"
    agent.start()
    hits = [fault(call, kind, times=2) for call in ("started", "output", "completed")]
    job = server.add(1, command=f"{line(ledger)}; echo early; sleep 0.5; echo late")
    report = await ended(job)
    assert report["exit_code"] == 0
    assert job.output("stdout") == b"early\nlate\n"
    await soon(lambda: server.polls[-1]["holding"] == [], 5)
    assert [hit.times for hit in hits] == [0, 0, 0]
    assert ran(ledger) == 1


async def test_a_poll_whose_reply_was_lost_is_asked_again_with_the_same_id(
    server, agent, ended, fault, tmp_path
):
    ledger = tmp_path / "ledger"
    hit = fault("poll", "drop", times=2)
    job = server.add(1, command=line(ledger))
    agent.start()
    await ended(job)
    first, second, third = server.polls[:3]
    assert first["request_id"] == second["request_id"] == third["request_id"]
    assert job.request_id == first["request_id"]
    assert (hit.times, ran(ledger)) == (0, 1)
    later = server.add(2, command="true")
    await ended(later)
    assert later.request_id != job.request_id


async def test_an_attempt_delivered_again_after_its_end_is_refused(server, agent, ended, soon, tmp_path):
    ledger = tmp_path / "ledger"
    agent.start()
    await ended(server.add(1, command=line(ledger)))
    await soon(lambda: server.polls[-1]["holding"] == [])
    for restart in (False, True):
        if restart:
            agent.kill_9()
            agent.start()
        again = server.add(1, command=line(ledger))
        report = await ended(again)
        assert (report["outcome"], again.started_posts) == ("refused", 0)
        assert report["reason"] == "This host has already had this attempt."
    retry = server.add(1, attempt=2, command=line(ledger))
    await ended(retry)
    assert ran(ledger) == 2


async def test_what_was_only_accepted_is_given_back_at_a_restart_and_runs_then(
    server, agent, ended, soon, fault, tmp_path
):
    ledger = tmp_path / "ledger"
    hit = fault("started", "refuse", times=1000)
    agent.start()
    job = server.add(1, command=line(ledger))
    await soon(lambda: hit.times < 1000)
    agent.kill_9()
    hit.times = 0
    agent.start()
    assert (await ended(job))["exit_code"] == 0
    assert ran(ledger) == 1
    assert len({poll["boot_id"] for poll in server.polls}) == 2


async def test_a_refused_start_runs_nothing(server, agent, ended, soon, tmp_path):
    ledger = tmp_path / "ledger"
    agent.start()
    job = server.add(1, command=line(ledger))
    job.started_posts = 0
    hold = server.add(2, command="true")

    def take_back() -> None:
        job.status = "cancelled"

    server.before_started = take_back
    await ended(hold)
    await soon(lambda: job.started_posts)
    await soon(lambda: server.polls[-1]["holding"] == [])
    assert ran(ledger) == 0
    assert job.completed_posts == 0


async def test_a_refused_result_is_dropped(server, agent, ended, soon):
    agent.start()
    job = server.add(1, command="sleep 0.3")
    await job.running.wait()
    job.status = "timeout"
    await soon(lambda: job.completed_posts)
    after = server.add(2, command="true")
    await ended(after)
    await soon(lambda: server.polls[-1]["holding"] == [])
    assert job.completed_posts == 1


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (401, 3, "enrol this host again"),
        (403, 4, "decommissioned"),
        (426, 5, "update it"),
    ],
)
async def test_a_final_no_ends_the_agent_with_a_clear_sentence(status, code, sentence, server, agent):
    server.poll_status = status
    agent.start()
    assert await agent.exit_code() == code
    assert sentence in agent.log
    assert "oga_" not in agent.log


async def test_an_agent_that_can_start_no_process_any_more_ends_and_says_so(server, agent, ended, soon):
    process = agent.start()
    await soon(lambda: server.polls)
    (launcher,) = processes.descendants(process.pid, processes.every())
    os.kill(launcher, signal.SIGKILL)
    job = server.add(1, command="true")
    assert await agent.exit_code() == 1
    assert "start the agent again" in agent.log
    agent.start()
    assert (await ended(job))["outcome"] == "interrupted"


async def test_a_proxys_page_is_no_decision(server, agent, ended, fault):
    hit = fault("poll", "html", times=2)
    agent.start()
    await ended(server.add(1, command="true"))
    assert hit.times == 0
