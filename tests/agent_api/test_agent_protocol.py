"""The four calls, over a real connection where it matters."""

import asyncio
import base64
import time

import pytest
import structlog
from structlog.testing import CapturingLogger

from agent_api import authentication


async def test_a_job_goes_the_whole_way(served, enrolled, dispatch, people):
    web1 = await enrolled(served)
    job_id = await dispatch(served)
    (job,) = (await web1.poll())["jobs"]
    assert (job["job_id"], job["attempt"], job["payload"]["command"]) == (job_id, 1, "true")
    assert (await web1.start(job_id)).json() == {"accepted": True, "reason": ""}
    assert (await web1.output(job_id, b"hello\n")).status_code == 204
    assert (await web1.complete(job_id, stdout={"length": 6, "total": 6})).status_code == 200
    shown = (await served.get(f"/api/v1/jobs/{job_id}", headers=people["ann"])).json()
    assert (shown["status"], shown["exit_code"], shown["attempts"][0]["status"]) == (
        "completed",
        0,
        "completed",
    )
    output = (await served.get(f"/api/v1/jobs/{job_id}/output", headers=people["ann"])).json()
    assert (output["items"][0]["text"], output["done"]) == ("hello\n", True)


async def test_a_held_open_poll_is_answered_when_a_job_is_queued(served, enrolled, dispatch, held_open):
    web1 = await enrolled(served)
    waiting = await held_open(web1, web1.poll(wait_seconds=20))
    before = time.monotonic()
    job_id = await dispatch(served)
    reply = await waiting
    assert [job["job_id"] for job in reply["jobs"]] == [job_id]
    assert time.monotonic() - before < 3


async def test_a_held_open_poll_hears_of_a_cancel(served, enrolled, dispatch, held_open, people):
    web1 = await enrolled(served)
    job_id = await dispatch(served)
    await web1.poll()
    await web1.start(job_id)
    holding = [{"job_id": job_id, "attempt": 1, "state": "started"}]
    waiting = await held_open(web1, web1.poll(wait_seconds=20, holding=holding))
    before = time.monotonic()
    await served.post(f"/api/v1/jobs/{job_id}/cancel", headers=people["ann"])
    assert [ref["job_id"] for ref in (await waiting)["cancel"]] == [job_id]
    assert time.monotonic() - before < 3


async def test_a_poll_with_nothing_to_say_ends_in_its_time(served, enrolled):
    web1 = await enrolled(served)
    before = time.monotonic()
    reply = await web1.poll(wait_seconds=1)
    assert 0.9 < time.monotonic() - before < 5
    assert (reply["jobs"], reply["cancel"], reply["forget"]) == ([], [], [])


async def test_polls_that_wait_hold_no_connection(app, served, enrolled, people):
    web1 = await enrolled(served)
    waiting = [asyncio.create_task(web1.poll(wait_seconds=3)) for _ in range(24)]  # the pool has 8
    while app.state.bells._agents.total() < 24:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        assert (await served.get("/api/v1/me", headers=people["ann"])).status_code == 200
    await asyncio.gather(*waiting)


async def test_nothing_is_claimed_for_an_agent_that_has_hung_up(
    app, served, enrolled, dispatch, held_open, db
):
    web1 = await enrolled(served)
    poll = await held_open(web1, web1.poll(wait_seconds=20))
    poll.cancel()
    while app.state.bells._agents:
        await asyncio.sleep(0.01)
    job_id = await dispatch(served)
    assert await db.fetchval("SELECT status FROM jobs WHERE id = $1", job_id) == "queued"
    assert [job["job_id"] for job in (await web1.poll())["jobs"]] == [job_id]


async def test_a_lost_reply_is_given_again(anyone, enrolled, dispatch):
    web1 = await enrolled(anyone)
    job_id = await dispatch(anyone)
    body = web1.poll_body()
    first = (await web1.post("poll", body)).json()
    again = (await web1.post("poll", body)).json()
    assert [job["job_id"] for job in first["jobs"]] == [job["job_id"] for job in again["jobs"]] == [job_id]


async def test_a_report_that_does_not_fit_is_409(anyone, enrolled, dispatch):
    web1 = await enrolled(anyone)
    job_id = await dispatch(anyone)
    await web1.poll()
    answer = await web1.complete(job_id)
    assert (answer.status_code, answer.json()["accepted"]) == (409, False)
    await web1.start(job_id)
    assert (await web1.complete(job_id)).status_code == 200
    assert (await web1.complete(job_id)).status_code == 200
    assert (await web1.complete(job_id, exit_code=1)).status_code == 409


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1, 300 * 1024])
async def test_a_chunk_has_64_kib_at_most(anyone, enrolled, dispatch, size):
    web1 = await enrolled(anyone)
    job_id = await dispatch(anyone)
    await web1.poll()
    await web1.start(job_id)
    answer = await web1.output(job_id, bytes(size))
    assert answer.status_code == (204 if size <= 64 * 1024 else 413)


async def test_a_body_that_hides_its_length_is_cut_off_too(anyone, enrolled):
    web1 = await enrolled(anyone)

    async def endless():
        for _ in range(100):
            yield b" " * 64 * 1024

    answer = await anyone.post(
        "/agent/v1/poll", content=endless(), headers={"Authorization": f"Bearer {web1.token}"}
    )
    assert answer.status_code == 413


async def test_an_agent_that_is_too_old_is_told_so(anyone, secret, enrol_body, enrolled):
    answer = await anyone.post("/agent/v1/enrol", json=enrol_body(secret, version="0.0.9"))
    assert answer.status_code == 426
    web1 = await enrolled(anyone)
    assert (await web1.post("poll", web1.poll_body(version="0.0.1"))).status_code == 426


async def test_guesses_at_the_organisation_secret_are_throttled(anyone, enrol_body, secret):
    for _ in range(10):
        assert (await anyone.post("/agent/v1/enrol", json=enrol_body("ogs_guess"))).status_code == 401
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    answer = await anyone.post("/agent/v1/enrol", json=enrol_body(secret), headers=forwarded)
    assert answer.status_code == 429


async def test_a_decommissioned_agent_is_403_and_an_unknown_one_401(anyone, enrolled, people):
    web1 = await enrolled(anyone)
    await anyone.delete("/api/v1/hosts/web-1", headers=people["ann"])
    assert (await web1.post("poll", web1.poll_body())).status_code == 403
    web1.token = "oga_unknown"
    assert (await web1.post("poll", web1.poll_body())).status_code == 401


async def test_an_agent_that_is_refused_stands_in_the_servers_log(
    anyone, enrolled, enrol_body, people, monkeypatch
):
    written = CapturingLogger()
    monkeypatch.setattr(authentication, "_log", structlog.wrap_logger(written, processors=[]))
    web1 = await enrolled(anyone)
    await anyone.post("/agent/v1/enrol", json=enrol_body("ogs_wrong-secret", "web-2"))
    await anyone.delete("/api/v1/hosts/web-1", headers=people["ann"])
    await web1.post("poll", web1.poll_body())
    web1.token = "oga_not-known"
    await web1.post("poll", web1.poll_body())
    log = str(written.calls)
    for reason in (
        "The organisation secret is not known",
        "This agent of web-1 was decommissioned",
        "The agent's token is not known; enrol again",
    ):
        assert reason in log
    assert "wrong-secret" not in log
    assert "oga_not-known" not in log


async def test_a_new_process_of_an_agent_tells_the_facts_of_its_host(anyone, enrolled, people):
    web1 = await enrolled(anyone)

    async def facts():
        return (await anyone.get("/api/v1/hosts/web-1", headers=people["vera"])).json()["facts"]

    assert await facts() == {}
    await web1.poll(facts={"kernel": "6.1"}, version="0.2.0")
    assert await facts() == {"kernel": "6.1"}
    await web1.poll(boot_id="b1", facts={"kernel": "6.1"}, os="darwin", arch="arm64\0" + "x" * 200)
    moved = (await anyone.get("/api/v1/hosts/web-1", headers=people["vera"])).json()
    assert (moved["os"], moved["arch"]) == ("darwin", "arm64" + "x" * 95)
    await web1.poll(boot_id="b2")  # an older agent says nothing of its host
    assert await facts() == {"kernel": "6.1"}
    many = {f"n{number}": "\0" + "x" * 1100 for number in range(110)}
    await web1.poll(boot_id="b3", facts=many)
    kept = await facts()
    assert (len(kept), kept["n0"]) == (100, "x" * 1000)
    shown = (await anyone.get("/api/v1/hosts/web-1", headers=people["vera"])).json()
    assert (shown["agent_version"], shown["os"]) == ("0.2.0", "darwin")


async def test_the_server_survives_what_no_agent_would_send(anyone, enrolled, dispatch):
    web1 = await enrolled(anyone)
    job_id = await dispatch(anyone)
    await web1.poll()
    await web1.start(job_id)
    nul = base64.b64encode(b"\0\xff").decode()
    for body in (
        {"outcome": "exited", "exit_code": 2**80},
        {"outcome": "refused", "reason": "\ud800"},
        {"outcome": "exited", "stdout": {"length": 2**70}},
        {"outcome": "exited", "exit_code": 1, "reason": "\0", "stdout": {"inline": nul, "total": 2}},
    ):
        assert (await web1.complete(job_id, **body)).status_code in (200, 409, 422), body
    assert (await web1.start(2**70)).status_code == 422
