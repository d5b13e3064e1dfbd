"""Jobs of the engine's host: real processes of this machine, through prefect-shell."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.payloads import CommandPayload, JobPayload, ScriptPayload
from agent.processes import every
from definitions.errors import Invalid
from definitions.permissions import SYSTEM
from definitions.secret_values import SecretValues
from flows import engine_host
from flows.engine_host import EngineHost
from flows.process import EngineProcess
from store import channels, claims, hosts, job_output, jobs, targets
from store.engine_host import take_over
from store.job_views import JobView
from store.jobs import NewJob
from store.sealing import SealingKeys
from tasks import engine_shell
from tasks.vault import Credential
from tests.store.jobs.credentials.conftest import checked_out

CANARY = "correct-horse-battery-staple"


class Engine:
    """An engine host that serves, and its jobs."""

    def __init__(self, process: EngineProcess) -> None:
        self.db = process.db
        self.host = EngineHost(process)
        self.serving = asyncio.create_task(self.host.run())

    async def dispatch(self, payload: JobPayload, **more: Any) -> int:
        async with self.db.transaction() as tx:
            (host,) = await targets.resolve(tx, ["@engine"], of_step=True)
            new = NewJob(payload.type, host.id, payload, 2, **more)
            (job,) = await jobs.insert(tx, "tests", None, [new], keys=self.db.keys)
        self.host._heard(str(host.id))
        return job

    async def job(self, job: int) -> JobView:
        return await jobs.show(self.db, SYSTEM, job)

    async def in_status(self, job: int, *statuses: str) -> JobView:
        async with asyncio.timeout(60):
            while (view := await self.job(job)).status not in statuses:
                await asyncio.sleep(0.05)
        return view

    async def ended(self, job: int) -> JobView:
        return await self.in_status(job, "completed", "failed", "timeout", "cancelled")

    async def printed(self, job: int, stream: Any = "stdout") -> bytes:
        items = (await job_output.read(self.db, SYSTEM, job, stream, most=1000)).items
        return b"".join(
            base64.b64decode(each.base64) if each.base64 else each.text.encode() for each in items
        )

    async def run(self, command: str, **more: Any) -> tuple[JobView, bytes]:
        job = await self.dispatch(CommandPayload(command=command, **more))
        return await self.ended(job), await self.printed(job)

    async def stop(self) -> None:
        self.serving.cancel()
        with suppress(asyncio.CancelledError):
            await self.serving


@pytest.fixture
async def engine(process: EngineProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    monkeypatch.setenv("OPSGATE_DATABASE_URL", f"postgresql://{CANARY}@x")
    process.db.keys = SealingKeys([bytes(32)])
    process.hearing[channels.JOBS] = []
    made = Engine(process)
    async with asyncio.timeout(30):
        while True:
            async with process.db.connection() as tx:
                if await targets.engine_runs_steps(tx):
                    break
            await asyncio.sleep(0.05)
    yield made
    await made.stop()


def lives(marker: str) -> bool:
    """Whether a process with this word in its arguments lives."""
    for process in every():
        with suppress(OSError):
            if marker.encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes():
                return True
    return False


async def gone(marker: str) -> None:
    async with asyncio.timeout(30):
        while lives(marker):
            await asyncio.sleep(0.05)


async def test_a_job_has_its_output_and_its_exit_code_as_on_any_host(engine: Engine) -> None:
    job = await engine.dispatch(CommandPayload(command="printf 'a\\377'; echo b >&2; exit 3"))
    view = await engine.ended(job)
    assert (view.status, view.exit_code, view.reason, view.host) == ("failed", 3, "exit code 3", "@engine")
    assert (await engine.printed(job), await engine.printed(job, "stderr")) == (b"a\xff", b"b\n")


async def test_a_value_arrives_as_it_is_and_is_never_run(engine: Engine) -> None:
    value = "$(touch /tmp/never); `id` ' \" \n* é"
    view, printed = await engine.run('printf %s "${OPSGATE_V1}"', environment={"OPSGATE_V1": value})
    assert (view.status, printed.decode()) == ("completed", value)


async def test_the_job_sees_nothing_of_the_workers_environment(engine: Engine) -> None:
    _, printed = await engine.run("env -0 | tr '\\0' '\\n'; tr '\\0' ' ' < /proc/$PPID/environ")
    assert CANARY.encode() not in printed
    assert b"OPSGATE_DATABASE_URL" not in printed
    assert b"HOME=" in printed


async def test_a_secret_value_is_read_from_a_descriptor_and_redacted(engine: Engine) -> None:
    text = 'cat "$PARAM_KEY_FILE"; grep -c staple /proc/self/environ /proc/$PPID/cmdline; exit 0'
    script = ScriptPayload(language="bash", content=text, secrets=["PARAM_KEY_FILE"])
    job = await engine.dispatch(script, secrets=SecretValues({"PARAM_KEY_FILE": CANARY}))
    assert (await engine.ended(job)).status == "completed"
    lines = (await engine.printed(job)).decode().splitlines()
    assert lines[0].startswith("***")
    assert CANARY not in "\n".join(lines)
    assert [line.rpartition(":")[2] for line in lines if line.endswith(":1")] == []


async def test_a_job_that_takes_too_long_is_stopped(engine: Engine) -> None:
    view, _ = await engine.run("sleep 4001 & sleep 4001", timeout_seconds=1)
    assert (view.status, view.outcome) == ("timeout", "timeout")
    await gone("4001")


async def test_a_cancel_ends_the_whole_tree(engine: Engine) -> None:
    job = await engine.dispatch(CommandPayload(command="sleep 4002 & setsid sleep 4002 & wait"))
    await engine.in_status(job, "running")
    async with asyncio.timeout(30):
        while not lives("4002"):
            await asyncio.sleep(0.05)
    await jobs.cancel(engine.db, SYSTEM, job)
    assert (await engine.ended(job)).status == "cancelled"
    await gone("4002")


async def test_output_is_cut_at_the_cap_and_says_so(engine: Engine) -> None:
    view, printed = await engine.run("head -c 11000000 /dev/zero")
    assert (view.status, len(printed), view.stdout_truncated) == ("completed", 10 * 1024 * 1024, True)


async def test_a_worker_that_stops_says_so_and_leaves_no_process(engine: Engine) -> None:
    job = await engine.dispatch(CommandPayload(command="sleep 4003"))
    await engine.in_status(job, "running")
    await engine.stop()
    view = await engine.job(job)
    assert (view.status, view.outcome, view.attempt) == ("failed", "interrupted", 1)
    await gone("4003")


async def test_a_credential_in_the_output_is_noted_before_that_is_stored_for_the_worker_may_be_killed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(*_: object) -> Credential:
        return Credential("app", CANARY)

    monkeypatch.setattr(engine_host, "_read", read)
    checkout = await checked_out(engine.db, name="db_admin", source="database_static", path="database/app")
    command = CommandPayload(command='cat "$PGPASSFILE"; sleep 4004')
    job = await engine.dispatch(command, checkout_id=checkout)
    async with asyncio.timeout(60):
        while b"***" not in await engine.printed(job):
            await asyncio.sleep(0.05)
    assert (await engine.job(job)).status == "running"
    why = await engine.db.fetchval("SELECT rotation_reason FROM identities")
    assert why == f"Job {job} of @engine printed it."
    await engine.stop()
    noted = "SELECT count(*) FROM audit WHERE action = 'job.credential_redacted'"
    assert await engine.db.fetchval(noted) == 1
    await gone("4004")


async def test_another_worker_takes_over_when_the_first_has_left(
    engine: Engine, process: EngineProcess
) -> None:
    second = Engine(replace(process, hearing={channels.JOBS: []}))
    try:
        first = await engine.run("true")
        assert (first[0].status, second.host._attempts) == ("completed", {})
        await engine.stop()
        assert (await second.run("echo again"))[1] == b"again\n"
    finally:
        await second.stop()


async def test_another_worker_takes_over_when_the_first_has_fallen_silent(
    process: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_host, "_LOOK_SECONDS", 0.05)
    process.hearing[channels.JOBS] = []
    dead = await take_over(process.db, "dead", bytes(32), None)
    assert dead is not None
    second = Engine(process)
    try:
        async with asyncio.timeout(30):
            while await process.db.fetchval("SELECT boot_id FROM agents") == "dead":
                await asyncio.sleep(0.05)
        assert (await second.run("true"))[0].status == "completed"
    finally:
        await second.stop()


async def test_an_unexpected_error_does_not_end_the_host_for_good(
    process: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [ValueError("once")]
    real = claims.poll

    async def poll(*args: Any, **named: Any) -> Any:
        if errors:
            raise errors.pop()
        return await real(*args, **named)

    monkeypatch.setattr(claims, "poll", poll)
    monkeypatch.setattr(engine_host, "_LOOK_SECONDS", 0.05)
    process.hearing[channels.JOBS] = []
    engine = Engine(process)
    try:
        async with asyncio.timeout(30):
            while errors or await process.db.fetchval("SELECT max(boot_id) FROM agents") is None:
                await asyncio.sleep(0.05)
        assert (await engine.run("true"))[0].status == "completed"
    finally:
        await engine.stop()


async def test_a_job_that_breaks_off_for_a_reason_of_ours_ends(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_order: object) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr(engine_shell, "running", broken)
    view, _ = await engine.run("true")
    assert (view.status, view.outcome) == ("failed", "interrupted")
    assert view.reason == "Opsgate itself failed while it ran (ValueError)."


async def test_only_a_step_leads_to_the_engine_host(engine: Engine) -> None:
    host = (await hosts.show(engine.db, SYSTEM, "@engine")).id
    await engine.db.execute("UPDATE hosts SET tags = '{all}' WHERE id = $1", host)
    for target in ("@engine", host, "tag:all"):
        with pytest.raises(Invalid):
            await jobs.dispatch(engine.db, SYSTEM, "command", [target], {"command": "true"})
    assert (await hosts.listing(engine.db, SYSTEM)).items == []
