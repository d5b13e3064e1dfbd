"""Jobs run by the real agent process: what they print and how they end arrives as it was."""

import os
import shutil
from pathlib import Path

from agent.environment import PATH


async def test_short_output_and_exit_code_arrive_exactly(server, agent, ended):
    agent.start()
    job = server.add(1, command="printf 'out\\n\\n'; printf err >&2; exit 3")
    report = await ended(job)
    assert (report["outcome"], report["exit_code"]) == ("exited", 3)
    assert job.output("stdout") == b"out\n\n"
    assert job.output("stderr") == b"err"
    assert not report["stdout"]["truncated"]


async def test_a_folder_may_be_named_from_where_the_agent_was_started(server, agent, ended):
    agent.start("--state", os.path.relpath(agent.folder))
    job = server.add(1, command="printf here")
    assert (await ended(job))["exit_code"] == 0
    assert job.output("stdout") == b"here"


async def test_output_is_shipped_while_the_job_runs(server, agent, ended, soon, tmp_path):
    gate = tmp_path / "gate"
    agent.start()
    job = server.add(1, command=f"echo first; while [ ! -e {gate} ]; do sleep 0.05; done; echo last")
    await soon(lambda: job.output("stdout") == b"first\n")
    assert job.report is None
    gate.touch()
    report = await ended(job)
    assert report["stdout"]["inline"] is None
    assert job.output("stdout") == b"first\nlast\n"


async def test_invalid_utf8_and_nul_bytes_survive(server, agent, ended):
    agent.start()
    script = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 300)"
    job = server.add(1, language="python", content=script)
    await ended(job)
    assert job.output("stdout") == bytes(range(256)) * 300


async def test_25_mib_is_capped_counted_and_costs_no_memory(server, agent, ended):
    process = agent.start()
    warm = server.add(1, command="true")
    await ended(warm)
    before = _peak_kib(process.pid)
    script = "import os\nfor i in range(400): os.write(1, bytes([i % 251]) * 65536)"
    job = server.add(2, language="python", content=script)
    report = await ended(job, 30)
    assert report["exit_code"] == 0
    whole = b"".join(bytes([i % 251]) * 65536 for i in range(400))
    assert job.output("stdout") == whole[: 10 * 1024 * 1024]
    assert report["stdout"]["total"] == len(whole)
    assert report["stdout"]["truncated"]
    assert _peak_kib(process.pid) - before < 16 * 1024


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


async def test_a_process_killed_by_a_signal_reports_128_plus_its_number(server, agent, ended):
    agent.start()
    report = await ended(server.add(1, command="kill -9 $$"))
    assert (report["outcome"], report["exit_code"]) == ("exited", 137)


async def test_powershell_runs_or_is_refused_in_clear_words(server, agent, ended):
    agent.start()
    report = await ended(server.add(1, language="powershell", content="exit 0"))
    if shutil.which("pwsh", path=PATH):
        assert (report["outcome"], report["exit_code"]) == ("exited", 0)
    else:
        assert report["outcome"] == "refused"
        assert "PowerShell is not on this host: there is no pwsh" in report["reason"]


async def test_an_unreadable_payload_is_refused_without_showing_its_values(server, agent, ended):
    agent.start()
    bad = server.add(1, command="true", environment={"LD_PRELOAD": "hush-hush"})
    unknown = server.add(2, type="teleport", to="hush-hush")
    good = server.add(3, command="true")
    assert (await ended(good))["exit_code"] == 0
    for job in (bad, unknown):
        report = await ended(job)
        assert report["outcome"] == "refused"
        assert "can't read the payload" in report["reason"]
        assert "hush" not in report["reason"]
    assert "hush" not in agent.log


async def test_more_jobs_than_slots_run_side_by_side_but_never_too_many(server, agent, ended, tmp_path):
    agent.start("--slots", "2")
    ledger = tmp_path / "ledger"
    jobs = [server.add(n, command=f"echo + >>{ledger}; sleep 0.3; echo - >>{ledger}") for n in range(1, 7)]
    for job in jobs:
        assert (await ended(job))["exit_code"] == 0
    now = most = 0
    for mark in ledger.read_text().split():
        now += 1 if mark == "+" else -1
        most = max(most, now)
    assert most == 2


async def test_a_freed_slot_is_offered_at_once(server, agent, ended, soon):
    agent.start("--slots", "1")
    first = server.add(1, command="sleep 0.5")
    await first.running.wait()
    second = server.add(2, command="true")
    await ended(first)
    await soon(second.ended.is_set, 0.5)


async def test_arguments_too_large_for_the_kernel_are_refused_in_clear_words(server, agent, ended):
    agent.start()
    values = {f"PARAM_{n}": "x" * 65000 for n in range(60)}
    report = await ended(server.add(1, command="true", environment=values))
    assert report["outcome"] == "refused"
    assert "Argument list too long" in report["reason"]


async def test_nothing_of_a_job_stays_on_the_host(server, agent, ended, soon):
    agent.start()
    await ended(server.add(1, command="echo x; touch left-behind"))
    await soon(lambda: not any((agent.folder / "spool").iterdir()))
    assert not any((agent.folder / "work").iterdir())
