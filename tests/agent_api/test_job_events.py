"""The stream of a job: what it prints as it is printed, resumable, ended when all is told."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from agent_api import admission, authentication, job_events
from store import sessions, tokens


@pytest.fixture
async def running(served, enrolled, dispatch):
    """An agent that has started the one job there is, and the job."""
    web1 = await enrolled(served)
    job_id = await dispatch(served)
    await web1.poll()
    await web1.start(job_id)
    return web1, job_id


@asynccontextmanager
async def stream(client, headers, job_id, last=None, **query):
    """The events of a job, each as (name, data, id)."""
    more = {} if last is None else {"Last-Event-ID": last}
    path = f"/api/v1/jobs/{job_id}/events"
    async with client.stream("GET", path, headers={**headers, **more}, params=query) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events_of(answer)


async def events_of(answer):
    fields, rest = {}, b""
    async for piece in answer.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            name, _, value = line.decode().partition(":")
            if name:
                fields[name] = value.strip()
            elif "data" in fields:
                yield fields["event"], json.loads(fields["data"]), fields["id"]
                fields = {}
            elif not line:
                fields = {}


async def soon(events):
    return await asyncio.wait_for(anext(events), 5)


async def all_of(events):
    async with asyncio.timeout(20):
        return [event async for event in events]


def text(events, stream="stdout"):
    return "".join(data["text"] for name, data, _ in events if name == "output" and data["stream"] == stream)


async def test_what_a_job_prints_comes_at_once_and_its_end_last(served, people, running):
    web1, job_id = running
    async with stream(served, people["vera"], job_id) as events:
        name, job, _ = await soon(events)
        assert (name, job["status"]) == ("job", "running")
        await web1.output(job_id, b"one\n")
        name, printed, _ = await soon(events)
        assert (name, printed["text"], printed["stream"]) == ("output", "one\n", "stdout")
        await web1.complete(job_id, stdout={"length": 4, "total": 4})
        rest = await all_of(events)
    assert [name for name, _, _ in rest] == ["job", "end"]
    assert (rest[-1][1]["status"], rest[-1][1]["exit_code"]) == ("completed", 0)


async def test_a_reader_that_comes_back_goes_on_where_it_was(served, people, running):
    web1, job_id = running
    for seq in range(20):
        await web1.output(job_id, f"{seq}\n".encode(), seq, seq * 2 if seq < 11 else 20 + (seq - 10) * 3)
    await web1.complete(job_id)
    whole, last, breaks = [], None, 0
    while not whole or whole[-1][0] != "end":
        async with stream(served, people["ann"], job_id, last) as events:
            async for event in events:
                whole.append(event)
                last = event[2]
                if len(whole) % 5 == 0:
                    breaks += 1
                    break
    assert breaks >= 4
    assert text(whole) == "".join(f"{seq}\n" for seq in range(20))


async def test_the_stream_of_an_ended_job_tells_all_and_ends(served, people, running):
    web1, job_id = running
    await web1.output(job_id, b"out")
    await web1.complete(job_id, exit_code=3)
    async with stream(served, people["ann"], job_id) as events:
        found = await all_of(events)
    assert [name for name, _, _ in found] == ["job", "output", "end"]
    async with stream(served, people["ann"], job_id, found[-1][2]) as events:
        assert [name for name, _, _ in await all_of(events)] == ["job", "end"]


async def test_one_stream_alone_can_be_followed(served, people, running):
    web1, job_id = running
    await web1.output(job_id, b"out")
    await web1.complete(job_id)
    async with stream(served, people["ann"], job_id, stream="stderr") as events:
        assert [name for name, _, _ in await all_of(events)] == ["job", "end"]


async def test_an_attempt_that_follows_is_followed_too(served, people, running):
    web1, job_id = running
    await web1.output(job_id, b"first")
    async with stream(served, people["ann"], job_id) as events:
        await soon(events)
        _, printed, last = await soon(events)
        assert printed["attempt"] == 1
    await web1.complete(job_id, exit_code=1)
    await served.post(f"/api/v1/jobs/{job_id}/retry", headers=people["ann"])
    await web1.poll()
    await web1.start(job_id, 2)
    inline = {"length": 6, "total": 6, "inline": "c2Vjb25k"}
    await web1.complete(job_id, 2, stdout=inline)
    async with stream(served, people["ann"], job_id, last) as events:
        found = await all_of(events)
    assert text(found) == "second"
    assert found[-1][1]["retry_count"] == 1


async def test_a_lost_notification_costs_time_and_no_output(served, people, running, db, monkeypatch):
    monkeypatch.setattr(job_events, "LOOK_AGAIN_SECONDS", 0.2)
    _, job_id = running
    async with stream(served, people["ann"], job_id) as events:
        await soon(events)
        await db.execute(
            """INSERT INTO job_output (job_id, attempt, stream, seq, byte_offset, data)
               VALUES ($1, 1, 'stdout', 0, 0, 'silent')""",
            job_id,
        )
        assert (await soon(events))[1]["text"] == "silent"


async def test_a_stream_ends_in_its_time_and_can_be_taken_up_again(served, people, running, monkeypatch):
    monkeypatch.setattr(job_events, "STREAM_SECONDS", 0.5)
    monkeypatch.setattr(job_events, "LOOK_AGAIN_SECONDS", 0.2)
    _, job_id = running
    async with stream(served, people["ann"], job_id) as events:
        assert [name for name, _, _ in await all_of(events)] == ["job"]


async def test_open_streams_hold_no_connection(served, people, running):
    _, job_id = running
    opened = [stream(served, people["ann"], job_id) for _ in range(12)]  # the pool has 8
    for each in opened:
        await soon(await each.__aenter__())
    async with asyncio.timeout(5):
        assert (await served.get("/api/v1/me", headers=people["ann"])).status_code == 200
    for each in opened:
        await each.__aexit__(None, None, None)


async def test_a_reader_that_does_not_read_holds_up_nobody_and_no_more_is_fetched_for_it(
    served, people, running, db, monkeypatch
):
    fetched = []
    read = job_events.job_output.read

    async def counted(*args, **options):
        part = await read(*args, **options)
        fetched.append(len(part.items))
        return part

    monkeypatch.setattr(job_events.job_output, "read", counted)
    _, job_id = running
    await db.execute(
        """INSERT INTO job_output (job_id, attempt, stream, seq, byte_offset, data)
           SELECT $1, 1, 'stdout', n, n * 65536, convert_to(repeat('x', 65536), 'UTF8')
           FROM generate_series(0, 399) n""",
        job_id,
    )
    path = f"/api/v1/jobs/{job_id}/events"
    async with served.stream("GET", path, headers=people["ann"]):
        await asyncio.sleep(2)
        assert sum(fetched) < 200  # what the sockets between hold, and four at a time
        async with asyncio.timeout(2):
            assert (await served.get("/api/v1/me", headers=people["ann"])).status_code == 200
        stalled = sum(fetched)
        await asyncio.sleep(1)
        assert sum(fetched) == stalled


@pytest.mark.parametrize("last", ["", "x", "0.0.0", "1.0", "1.-2.0", "1.0.0.0", "99999999999.0.0"])
async def test_an_id_that_no_event_had_is_refused(served, people, running, last):
    _, job_id = running
    headers = {**people["ann"], "Last-Event-ID": last}
    answer = await served.get(f"/api/v1/jobs/{job_id}/events", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(
    ("taken", "status"),
    [
        ("UPDATE tokens SET revoked_at = now()", 401),
        ("UPDATE users SET disabled_at = now() WHERE name = 'vera'", 401),
        ("DELETE FROM user_roles USING users WHERE user_id = id AND name = 'vera'", 403),
    ],
)
async def test_who_loses_the_token_or_the_right_loses_the_stream(
    served, people, running, db, monkeypatch, taken, status
):
    monkeypatch.setattr(admission, "AGAIN_SECONDS", 0)
    web1, job_id = running
    async with stream(served, people["vera"], job_id) as events:
        await soon(events)
        await db.execute(taken)
        await web1.output(job_id, b"not for her")
        assert await all_of(events) == []
    answer = await served.get(f"/api/v1/jobs/{job_id}/events", headers=people["vera"])
    assert answer.status_code == status


async def test_a_session_that_is_closed_ends_its_stream(served, people, running, db, monkeypatch):
    monkeypatch.setattr(admission, "AGAIN_SECONDS", 0)
    web1, job_id = running
    vera = await db.fetchval("SELECT id FROM users WHERE name = 'vera'")
    session = await sessions.open(db, vera)
    async with stream(served, {"Cookie": f"{authentication.COOKIE}={session.token}"}, job_id) as events:
        await soon(events)
        await sessions.close(db, session.token)
        await web1.output(job_id, b"not for her")
        assert await all_of(events) == []


async def test_a_reader_is_looked_up_seldom_however_much_is_printed(served, people, running, monkeypatch):
    asked = []
    admit = tokens.actor

    async def counted(*args):
        asked.append(args)
        return await admit(*args)

    monkeypatch.setattr(tokens, "actor", counted)
    monkeypatch.setattr(admission, "AGAIN_SECONDS", 3600)
    web1, job_id = running
    async with stream(served, people["vera"], job_id) as events:
        await soon(events)
        for seq in range(10):
            await web1.output(job_id, b"x", seq, seq)
            await soon(events)
    assert len(asked) == 1  # by the route's guard


async def test_following_takes_jobs_view_and_a_job(served, people, running):
    _, job_id = running
    assert (await served.get(f"/api/v1/jobs/{job_id}/events", headers=people["sam"])).status_code == 403
    assert (await served.get("/api/v1/jobs/999/events", headers=people["ann"])).status_code == 404


async def test_a_job_that_is_deleted_ends_its_stream(served, people, running, db, monkeypatch):
    monkeypatch.setattr(job_events, "LOOK_AGAIN_SECONDS", 0.2)
    _, job_id = running
    async with stream(served, people["ann"], job_id) as events:
        await soon(events)
        await db.execute("DELETE FROM jobs WHERE id = $1", job_id)
        assert await all_of(events) == []
