"""Lists of jobs: each filter narrows, together they all hold, and pages follow one another."""

from datetime import UTC, datetime, timedelta

import pytest

from definitions.permissions import SYSTEM
from definitions.script import Script
from store import executions, jobs, scripts, users
from store.job_lists import JobFilter

NOW = datetime.now(UTC)


@pytest.fixture
async def listed(db, admin):
    async def ids(**wanted):
        return [job.id for job in (await jobs.listing(db, admin, JobFilter(**wanted))).items]

    return ids


async def test_pages_follow_one_another_newest_first(db, web1, enrolled, queued, admin):
    await enrolled("web-2")
    ids = [await queued() for _ in range(3)]
    await queued("web-2")
    first = await jobs.listing(db, admin, JobFilter(host="web-1"), limit=2)
    assert [job.id for job in first.items] == [ids[2], ids[1]]
    rest = await jobs.listing(db, admin, JobFilter(host="web-1"), limit=2, after=first.next)
    assert ([job.id for job in rest.items], rest.next) == ([ids[0]], None)


async def test_by_status_any_of_those_named(db, web1, queued, admin, listed):
    waiting, gone, running = [await queued() for _ in range(3)]
    await jobs.cancel(db, admin, gone)
    await db.execute("UPDATE jobs SET status = 'pending' WHERE id = $1", running)
    assert await listed(status=["cancelled"]) == [gone]
    assert await listed(status=["cancelled", "queued"]) == [gone, waiting]
    assert await listed(status=["failed"]) == []


async def test_by_host_by_name_in_any_spelling_or_by_id(web1, enrolled, queued, listed):
    await enrolled("web-2")
    mine = await queued()
    await queued("web-2")
    assert await listed(host="Web-1") == await listed(host=str(web1.actor.host_id)) == [mine]
    assert await listed(host="nowhere") == []


async def test_by_script_by_name_or_by_id(db, web1, queued, admin, listed):
    await queued()
    script = Script(name="tidy", language="bash", content="true")
    view = await scripts.save(db, admin, script)
    ids = (await executions.execute(db, admin, "tidy", ["web-1"], {})).jobs
    assert await listed(script="tidy") == await listed(script=str(view.id)) == ids
    assert await listed(script="unknown") == await listed(script="0") == []


async def test_by_type(web1, queued, listed):
    job_id = await queued()
    assert (await listed(type="command"), await listed(type="script")) == ([job_id], [])


async def test_by_instance(web1, queued, instance, step_job, listed):
    await queued()
    instance_id = await instance()
    job_id = await step_job(instance_id)
    assert await listed(instance=instance_id) == [job_id]


async def test_by_who_made_it(db, web1, queued, listed):
    await queued()
    view = await users.create(db, SYSTEM, "bea", None, None, ["operator"])
    bea = await users.actor_of(db, view.id)
    ids = await jobs.dispatch(db, bea, "command", ["web-1"], {"command": "true"})
    assert await listed(created_by="Bea") == ids


async def test_by_when_it_was_made(db, web1, queued, listed):
    old, young = await queued(), await queued()
    await db.execute("UPDATE jobs SET created_at = now() - interval '2 hours' WHERE id = $1", old)
    an_hour_ago = NOW - timedelta(hours=1)
    assert (await listed(since=an_hour_ago), await listed(until=an_hour_ago)) == ([young], [old])


async def test_all_that_is_asked_for_must_hold(web1, queued, listed):
    await queued()
    assert await listed(status=["queued"], host="web-1", type="command", created_by="ann") != []
    assert await listed(status=["queued"], host="web-1", type="script", created_by="ann") == []
