"""Output: stored once, in order, up to a cap; read as text without breaking characters."""

import base64

import pytest

from agent.protocol import CHUNK_BYTES
from definitions.errors import Conflict, Invalid, NotFound
from store import job_output, jobs


@pytest.fixture
async def running(web1, queued):
    job_id = await queued()
    await web1.poll()
    await web1.start(job_id)
    return job_id


async def send(db, web1, job_id, seq, offset, data, stream="stdout"):
    await job_output.append(db, web1.actor, job_id, 1, stream, seq, offset, data)


async def test_chunks_come_back_in_order_and_go_on_from_a_cursor(db, web1, running, admin):
    for seq, data in enumerate([b"a", b"b", b"c"]):
        await send(db, web1, running, seq, seq, data)
    first = await job_output.read(db, admin, running)
    assert ([item.text for item in first.items], first.next, first.done) == (["a", "b", "c"], 2, False)
    await send(db, web1, running, 3, 3, b"d")
    await web1.complete(running, stdout={"length": 4, "total": 4})
    rest = await job_output.read(db, admin, running, after=first.next)
    assert ([item.text for item in rest.items], rest.done) == (["d"], True)


async def test_the_same_chunk_again_is_stored_once(db, web1, running, admin):
    await send(db, web1, running, 0, 0, b"a")
    await send(db, web1, running, 0, 0, b"a")
    assert [item.text for item in (await job_output.read(db, admin, running)).items] == ["a"]


async def test_another_chunk_in_its_place_is_refused(db, web1, running):
    await send(db, web1, running, 0, 0, b"a")
    with pytest.raises(Conflict):
        await send(db, web1, running, 0, 0, b"b")


async def test_an_attempt_that_does_not_run_has_no_output(db, web1, running):
    await web1.complete(running)
    with pytest.raises(Conflict):
        await send(db, web1, running, 0, 0, b"late")


async def test_another_agent_cannot_add_output(db, running, enrolled):
    web2 = await enrolled("web-2")
    with pytest.raises(NotFound):
        await send(db, web2, running, 0, 0, b"x")


async def test_a_chunk_that_is_too_long_is_refused(db, web1, running):
    with pytest.raises(Invalid):
        await send(db, web1, running, 0, 0, bytes(CHUNK_BYTES + 1))


async def test_output_beyond_the_cap_is_dropped_and_flagged(db, web1, running, admin, monkeypatch):
    monkeypatch.setattr(job_output, "OUTPUT_CAP_BYTES", 5)
    await send(db, web1, running, 0, 0, b"abcd")
    await send(db, web1, running, 1, 4, b"efgh")
    await send(db, web1, running, 2, 8, b"ijkl")
    assert "".join(item.text for item in (await job_output.read(db, admin, running)).items) == "abcde"
    row = await db.fetchrow("SELECT stdout_length, stdout_truncated FROM jobs WHERE id = $1", running)
    assert tuple(row) == (5, True)


@pytest.mark.parametrize("cursor", [-1, 0])
async def test_a_character_split_between_chunks_stays_whole(db, web1, running, admin, cursor):
    whole = "€".encode()
    await send(db, web1, running, 0, 0, b"a" + whole[:2])
    await send(db, web1, running, 1, 3, whole[2:] + b"b")
    read = await job_output.read(db, admin, running, after=cursor)
    assert "".join(item.text for item in read.items) == ("a€b" if cursor == -1 else "€b")


async def test_bytes_that_are_no_text_come_as_base64_too(db, web1, running, admin):
    await send(db, web1, running, 0, 0, b"\xff\x00")
    (item,) = (await job_output.read(db, admin, running)).items
    assert (item.text, base64.b64decode(item.base64)) == ("\N{REPLACEMENT CHARACTER}\0", b"\xff\x00")


async def test_the_streams_are_apart(db, web1, running, admin):
    await send(db, web1, running, 0, 0, b"out")
    await send(db, web1, running, 0, 0, b"err", "stderr")
    assert [i.text for i in (await job_output.read(db, admin, running, "stderr")).items] == ["err"]


async def test_every_byte_can_be_had_however_the_chunks_cut_it(db, web1, running, admin):
    data = "a€".encode()[:3] + b"\xff\0" + "é".encode()
    for seq, cut in enumerate((data[:2], data[2:6], data[6:])):
        await send(db, web1, running, seq, (0, 2, 6)[seq], cut)
    items = (await job_output.read(db, admin, running)).items
    assert data == b"".join(
        base64.b64decode(item.base64) if item.base64 is not None else item.text.encode() for item in items
    )


async def test_a_job_shows_the_end_of_what_it_printed(db, web1, running, admin):
    await send(db, web1, running, 0, 0, b"x" * 5000 + b"end")
    await send(db, web1, running, 0, 0, b"went wrong", "stderr")
    view = await jobs.show(db, admin, running)
    assert (len(view.stdout), view.stdout[-4:], view.stderr) == (4096, "xend", "went wrong")
