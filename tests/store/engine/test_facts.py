"""What a step keeps of its hosts' output for later steps: bounded, however many hosts there are."""

import pytest

from store.connection import Database
from store.engine import facts
from store.engine.host_work import HostWork

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("hosts", "bytes_each"), [(0, MIB), (1, MIB), (4, MIB), (8, MIB // 2), (1024, 4096), (100_000, 4096)]
)
def test_the_hosts_of_a_step_share_what_it_may_keep(hosts: int, bytes_each: int) -> None:
    assert facts.share(hosts) == bytes_each


async def test_a_stream_is_cut_at_its_share_in_the_middle_of_a_chunk(
    db: Database, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "STEP_BYTES", 20)
    monkeypatch.setattr(facts, "LEAST_BYTES", 1)
    job = await db.fetchval(
        """INSERT INTO jobs (type, host_id, payload, priority, status, timeout_seconds, created_by_name)
           SELECT 'command', id, '{}', 1, 'queued', 9, 'ann' FROM hosts RETURNING id"""
    )
    for seq, data in enumerate((b"0123456", b"789abcd", b"never")):
        await db.execute(
            """INSERT INTO job_output (job_id, attempt, stream, seq, byte_offset, data)
               VALUES ($1, 1, 'stdout', $2, $3, $4)""",
            job,
            seq,
            seq * 7,
            data,
        )
    await db.execute("UPDATE jobs SET stdout_length = 19, stderr_truncated = true")
    work = HostWork(1, "h", job, "completed", 1, None, "", 0, False, False)
    (host,) = await facts.host_facts(db, [work])
    assert (host.stdout, host.stderr) == ("0123456789", "")
    assert host.truncated == {"stdout": 10, "stderr": 0}


async def test_a_stream_that_just_fits_is_whole(
    db: Database, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "STEP_BYTES", 20)
    monkeypatch.setattr(facts, "LEAST_BYTES", 1)
    job = await db.fetchval(
        """INSERT INTO jobs (type, host_id, payload, priority, status, timeout_seconds, created_by_name,
               stdout_length)
           SELECT 'command', id, '{}', 1, 'queued', 9, 'ann', 10 FROM hosts RETURNING id"""
    )
    work = HostWork(1, "h", job, "completed", 1, None, "", 0, False, False)
    nothing = HostWork(2, "i", None, None, 1, None, "", None, False, False)
    for host in await facts.host_facts(db, [work]), await facts.host_facts(db, [nothing]):
        assert host[0].truncated == {}
