"""Running a script by hand: one job a host, results by host, and again where it failed."""

import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from definitions.errors import Conflict, Invalid, NotFound, NotPermitted
from definitions.library import Library
from definitions.permissions import SYSTEM
from store import (
    execution_views,
    executions,
    hosts,
    job_output,
    jobs,
    output_downloads,
    pages,
    scripts,
    sealed_values,
)
from store.libraries import LIBRARIES
from store.sealing import SealingKeys

SaveScript = Callable[..., Awaitable[int]]


async def end(org: Any, job_id: int, status: str = "completed", **columns: Any) -> None:
    """End a job as its agent's report does."""
    for step in ("pending", "running", status):
        await org.db.execute("UPDATE jobs SET status = $2 WHERE id = $1", job_id, step)
    await org.db.execute(
        "UPDATE jobs SET started_at = now() - interval '2 s', ended_at = now(), exit_code = $2 WHERE id = $1",
        job_id,
        columns.get("exit_code"),
    )


async def prints(org: Any, job_id: int, *chunks: bytes, stream: Any = "stdout", attempt: int = 1) -> None:
    offset = 0
    async with org.db.transaction() as tx:
        for seq, data in enumerate(chunks):
            await job_output.store(tx, job_id, attempt, stream, seq, offset, data)
            offset += len(data)


async def found(org: Any, **filters: Any) -> list[int]:
    page = await execution_views.listing(org.db, org.vi, "disk-check", **filters)
    return [row.id for row in page.items]


async def everything(download: output_downloads.Download) -> bytes:
    return b"".join([part async for part in download.content])


async def test_it_makes_a_job_a_host_with_its_values_as_data(org: Any, save_script: SaveScript) -> None:
    script_id = await save_script()
    targets = ["web-1", "tag:web", "group:all", org.hosts[0]]
    await org.db.execute("UPDATE hosts SET tags = '{web}', groups = '{all}'")
    made = await executions.execute(org.db, org.ana, "disk-check", targets, {"threshold": 80})
    rows = await org.db.fetch("SELECT * FROM jobs ORDER BY id")
    assert [row["id"] for row in rows] == made.jobs
    assert [row["host_id"] for row in rows] == list(org.hosts)
    assert {(row["script_id"], row["script_version"], row["created_by_name"]) for row in rows} == {
        (script_id, 1, "ana")
    }
    assert rows[0]["payload"]["content"] == "df -h"
    assert rows[0]["payload"]["environment"] == {"PARAM_THRESHOLD": "80"}


async def test_the_jobs_of_one_execution_know_each_other(org: Any, save_script: SaveScript) -> None:
    await save_script()
    await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {})
    made = await executions.execute(org.db, org.ana, "disk-check", ["web-1", "web-2"], {"threshold": 80})
    await end(org, made.jobs[0], "failed")
    assert await found(org, execution=made.id) == made.jobs[::-1]
    view = await execution_views.show(org.db, org.vi, made.id)
    assert (view.script, view.script_version, view.parameters) == ("disk-check", 1, {"threshold": 80})
    assert (view.jobs, view.created_by, view.rerun_of) == ({"failed": 1, "queued": 1}, "ana", None)
    assert (await jobs.show(org.db, org.ana, made.jobs[1])).execution_id == made.id


async def test_a_run_that_makes_no_sense_makes_no_job(org: Any, save_script: SaveScript) -> None:
    await save_script()
    nonsense: list[tuple[list[str], dict[str, Any]]] = [
        ([], {}),
        (["nowhere"], {}),
        (["tag:none"], {}),
        (["web-1"], {"threshold": "many"}),
        (["web-1"], {"x": 1}),
    ]
    for targets, parameters in nonsense:
        with pytest.raises(Invalid):
            await executions.execute(org.db, org.ana, "disk-check", targets, parameters)
    assert (
        await org.db.fetchval("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM executions)") == 0
    )


async def test_a_result_says_what_happened_on_its_host(org: Any, save_script: SaveScript) -> None:
    await save_script()
    made = await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {})
    await prints(org, made.jobs[0], b"out \xff")
    await prints(org, made.jobs[0], b"err", stream="stderr")
    await end(org, made.jobs[0], "failed", exit_code=3)
    (row,) = (await execution_views.listing(org.db, org.vi, "disk-check")).items
    assert (row.host, row.status, row.exit_code, row.stdout, row.stderr) == (
        "web-1",
        "failed",
        3,
        "out �",
        "err",
    )
    assert row.duration == pytest.approx(2, abs=0.1)


async def test_results_are_filtered_and_paged(org: Any, save_script: SaveScript) -> None:
    await save_script()
    one = await executions.execute(org.db, org.ana, "disk-check", ["web-1", "web-2"], {})
    two = await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {})
    await end(org, one.jobs[1])
    await org.db.execute("UPDATE jobs SET created_by_name = 'bo' WHERE id = $1", two.jobs[0])
    at = await org.db.fetchval(
        "UPDATE jobs SET created_at = now() + interval '1 h' WHERE id = $1 RETURNING created_at", two.jobs[0]
    )
    assert await found(org, status=["completed", "failed"]) == [one.jobs[1]]
    assert await found(org, host="WEB-2") == await found(org, host=str(org.hosts[1])) == [one.jobs[1]]
    assert await found(org, who="Bo") == await found(org, since=at) == two.jobs
    assert await found(org, until=at, since=at - timedelta(days=1)) == one.jobs[::-1]
    first = await execution_views.listing(org.db, org.vi, "disk-check", limit=2)
    assert await found(org, limit=2, after=first.next) == [one.jobs[0]]


async def test_a_search_finds_text_across_chunks_and_among_bytes_that_are_none(
    org: Any, save_script: SaveScript
) -> None:
    await save_script()
    made = await executions.execute(org.db, org.ana, "disk-check", ["web-1", "web-2"], {})
    first, second = made.jobs
    await prints(org, first, b"\xff\xfe no sp", b"a", b"ce l", b"eft on d\xc3", b"\xa9vice \xff")
    await prints(org, second, b"No Space", stream="stderr")
    assert await found(org, search="space left") == [first]
    assert await found(org, search="dévice") == [first]
    assert await found(org, search="No Space") == [second]
    assert await found(org, search="o") == [second, first]
    assert await found(org, search="space left", status=["completed"]) == []
    for nothing in ("", "x" * 201):
        with pytest.raises(Invalid):
            await found(org, search=nothing)


async def test_a_search_looks_at_the_newest_attempt(org: Any, save_script: SaveScript) -> None:
    await save_script()
    (job,) = (await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {})).jobs
    await prints(org, job, b"broken")
    await end(org, job, "failed")
    await jobs.retry(org.db, org.ana, job)
    await prints(org, job, b"fine", attempt=2)
    assert (await found(org, search="broken"), await found(org, search="fine")) == ([], [job])


async def test_a_page_of_a_search_looks_at_a_bounded_amount_and_goes_on(
    org: Any, save_script: SaveScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution_views, "SEARCH_BYTES", 25)
    await save_script()
    jobs_made = []
    for number in range(4):
        (job,) = (await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {})).jobs
        await prints(org, job, b"needle....." if number == 0 else b"hay........")
        jobs_made.append(job)
    first = await execution_views.listing(org.db, org.vi, "disk-check", search="needle")
    assert (first.items, first.next) == ([], str(jobs_made[2]))
    second = await execution_views.listing(org.db, org.vi, "disk-check", search="needle", after=first.next)
    assert ([row.id for row in second.items], second.next) == ([jobs_made[0]], None)
    monkeypatch.setattr(execution_views, "SEARCH_BYTES", 5)
    one = await execution_views.listing(org.db, org.vi, "disk-check", search="hay", limit=1)
    assert ([row.id for row in one.items], one.next) == ([jobs_made[3]], str(jobs_made[3]))


async def test_a_search_with_more_hits_than_a_page_skips_none(org: Any, save_script: SaveScript) -> None:
    await save_script()
    made: list[int] = []
    for _ in range(5):
        made += (await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {})).jobs
        await prints(org, made[-1], b"hit")
    seen: list[int] = []
    page: pages.Page[Any] | None = None
    while page is None or page.next:
        after = page.next if page else None
        page = await execution_views.listing(org.db, org.vi, "disk-check", search="hit", limit=2, after=after)
        seen += [row.id for row in page.items]
    assert seen == made[::-1]


async def test_it_runs_again_only_where_it_failed_and_is_the_very_same(
    org: Any, save_script: SaveScript
) -> None:
    await LIBRARIES.put(org.db, org.ana, Library(name="lib", language="bash", content="# lib"))
    await save_script(libraries=["lib"])
    await org.db.execute("INSERT INTO hosts (name, os) VALUES ('web-3', 'linux')")
    made = await executions.execute(
        org.db, org.ana, "disk-check", ["web-1", "web-2", "web-3"], {"threshold": 80}
    )
    for job, status in zip(made.jobs, ("completed", "failed", "timeout"), strict=True):
        await end(org, job, status)
    await LIBRARIES.put(org.db, org.ana, Library(name="lib", language="bash", content="# newer"))
    await save_script(libraries=["lib"], content="df -i")
    again = await executions.rerun(org.db, org.ana, made.id)
    columns = "script_version, payload, libraries, host_id"
    before = await org.db.fetch(f"SELECT {columns} FROM jobs WHERE id = ANY ($1) ORDER BY id", made.jobs[1:])
    after = await org.db.fetch(f"SELECT {columns} FROM jobs WHERE id = ANY ($1) ORDER BY id", again.jobs)
    assert after == before
    view = await execution_views.show(org.db, org.vi, again.id)
    assert (view.rerun_of, view.parameters, view.script_version) == (made.id, {"threshold": 80}, 1)
    everywhere = await executions.rerun(org.db, org.ana, made.id, failed_only=False)
    assert len(everywhere.jobs) == 3


async def test_there_is_nothing_to_run_again_where_nothing_failed(org: Any, save_script: SaveScript) -> None:
    await save_script()
    made = await executions.execute(org.db, org.ana, "disk-check", ["web-1", "web-2"], {})
    with pytest.raises(Conflict, match="failed or timed out"):
        await executions.rerun(org.db, org.ana, made.id)
    for job in made.jobs:
        await end(org, job, "failed")
    await hosts.decommission(org.db, SYSTEM, "web-1")
    assert len((await executions.rerun(org.db, org.ana, made.id)).jobs) == 1
    await scripts.archive(org.db, org.ana, "disk-check")
    with pytest.raises(Conflict, match="archived"):
        await executions.rerun(org.db, org.ana, made.id)
    with pytest.raises(NotFound):
        await executions.rerun(org.db, org.ana, 999)


SECRET = [{"name": "key", "type": "secret"}]


async def test_secret_values_are_sealed_anew_for_the_jobs_that_run_again(
    org: Any, save_script: SaveScript
) -> None:
    org.db.keys = SealingKeys([os.urandom(32)])
    await save_script(parameters=SECRET)
    made = await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {"key": "hunter2"})
    await end(org, made.jobs[0], "failed")
    (again,) = (await executions.rerun(org.db, org.ana, made.id)).jobs
    sealed = await org.db.fetchval("SELECT sealed_values FROM jobs WHERE id = $1", again)
    assert sealed_values.of_job(org.db.keys, again, sealed) == {"PARAM_KEY_FILE": "hunter2"}


async def test_secret_values_that_are_erased_are_not_left_out_in_silence(
    org: Any, save_script: SaveScript
) -> None:
    org.db.keys = SealingKeys([os.urandom(32)])
    await save_script(parameters=SECRET)
    made = await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {"key": "hunter2"})
    await end(org, made.jobs[0], "failed")
    await org.db.execute("UPDATE jobs SET sealed_values = NULL")
    with pytest.raises(Conflict, match="secret parameters"):
        await executions.rerun(org.db, org.ana, made.id)


async def test_a_stream_is_had_byte_for_byte(org: Any, save_script: SaveScript) -> None:
    await save_script()
    (job,) = (await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {})).jobs
    chunks = [bytes([number, 0xFF, 0x00, 0x0D, 0x0A]) for number in range(40)]
    await prints(org, job, *chunks)
    download = await output_downloads.of_job(org.db, org.vi, job, "stdout")
    assert (download.name, await everything(download)) == (
        f"job-{job}-attempt-1-stdout.txt",
        b"".join(chunks),
    )
    assert await everything(await output_downloads.of_job(org.db, org.vi, job, "stderr")) == b""
    with pytest.raises(NotFound):
        await output_downloads.of_job(org.db, org.vi, 999, "stdout")


async def test_an_execution_is_had_as_json_lines(org: Any, save_script: SaveScript) -> None:
    import json

    await save_script()
    made = await executions.execute(org.db, org.ana, "disk-check", ["web-1", "web-2"], {})
    await prints(org, made.jobs[0], b'"quoted"\n\x00\xc3', b"\xa9 \xff\xe2\x82")
    await end(org, made.jobs[0], exit_code=0)
    download = await output_downloads.of_execution(org.db, org.vi, made.id)
    lines = [json.loads(line) for line in (await everything(download)).decode().splitlines()]
    assert [(line["host"], line["status"], line["exit_code"]) for line in lines] == [
        ("web-1", "completed", 0),
        ("web-2", "queued", None),
    ]
    assert (lines[0]["stdout"], lines[0]["stderr"]) == ('"quoted"\n\x00é �\ufffd', "")
    with pytest.raises(NotFound):
        await output_downloads.of_execution(org.db, org.vi, 999)


async def test_a_viewer_sees_and_runs_nothing(org: Any, save_script: SaveScript) -> None:
    await save_script()
    made = await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {})
    for refused in (
        executions.execute(org.db, org.vi, "disk-check", ["web-1"], {}),
        executions.rerun(org.db, org.vi, made.id),
    ):
        with pytest.raises(NotPermitted):
            await refused
