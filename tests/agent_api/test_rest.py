"""REST as programs meet it: problems, idempotency, paging, probes, the description of itself."""

import asyncio
import hashlib

import pytest

from store.sealing import SealingKeys


def job(command="true", **more):
    return {"type": "command", "hosts": ["web-1"], "payload": {"command": command}, **more}


@pytest.fixture
async def web1(anyone, enrolled):
    return await enrolled(anyone)


async def test_a_refusal_is_a_problem_document(anyone, people):
    answer = await anyone.get("/api/v1/jobs/99", headers=people["ann"])
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["title"], body["detail"]) == (404, "Not found", "There is no job 99.")


async def test_every_malformed_part_is_named_by_its_pointer(anyone, people):
    body = {"type": 1, "hosts": "web-1", "payload": {}, "extra": 1}
    answer = await anyone.post("/api/v1/jobs", json=body, headers=people["ann"])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {problem["pointer"] for problem in answer.json()["problems"]} == {"/type", "/hosts", "/extra"}


async def test_a_malformed_request_is_not_echoed(anyone, people):
    body = {"name": 1, "password": {"hunter2": "hunter2"}}
    answer = await anyone.post("/api/v1/users", json=body, headers=people["ann"])
    assert (answer.status_code, "hunter2" in answer.text) == (422, False)


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/jobs/x", "/api/v1/jobs/99999999999999999999"])
async def test_a_path_that_leads_nowhere_is_a_problem_too(anyone, people, path):
    answer = await anyone.get(path, headers=people["ann"])
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
async def test_text_that_cannot_be_stored_is_refused(anyone, people, name):
    text = '{"name": "' + "".join(f"\\u{ord(c):04x}" for c in name) + '"}'
    headers = {**people["ann"], "content-type": "application/json"}
    answer = await anyone.post("/api/v1/org-secrets", content=text, headers=headers)
    assert answer.status_code == 422


async def test_a_repeated_key_creates_nothing_and_gets_the_first_answer(anyone, people, web1, db):
    headers = {**people["ann"], "Idempotency-Key": "k"}
    first = await anyone.post("/api/v1/jobs", json=job(), headers=headers)
    again = await anyone.post("/api/v1/jobs", json=job(), headers=headers)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert await db.fetchval("SELECT count(*) FROM jobs") == 1


async def test_a_key_belongs_to_one_body_and_one_person(anyone, people, web1, db):
    headers = {"Idempotency-Key": "k"}
    await anyone.post("/api/v1/jobs", json=job(), headers={**people["ann"], **headers})
    other = await anyone.post("/api/v1/jobs", json=job("false"), headers={**people["ann"], **headers})
    assert other.status_code == 422
    theirs = await anyone.post("/api/v1/tokens", json={"name": "x"}, headers={**people["vera"], **headers})
    assert theirs.status_code == 201


async def test_requests_side_by_side_with_one_key_create_once(anyone, people, web1, db):
    headers = {**people["ann"], "Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(anyone.post("/api/v1/jobs", json=job(), headers=headers) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert await db.fetchval("SELECT count(*) FROM jobs") == 1


async def test_a_refused_request_leaves_its_key_free(anyone, people, db, enrolled):
    headers = {**people["ann"], "Idempotency-Key": "k"}
    assert (await anyone.post("/api/v1/jobs", json=job(), headers=headers)).status_code == 422
    await enrolled(anyone)
    assert (await anyone.post("/api/v1/jobs", json=job(), headers=headers)).status_code == 201


async def test_a_secret_is_not_kept_for_repeats(anyone, people, db):
    headers = {**people["ann"], "Idempotency-Key": "k"}
    first = await anyone.post("/api/v1/tokens", json={"name": "x"}, headers=headers)
    again = await anyone.post("/api/v1/tokens", json={"name": "x"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 409)
    assert first.json()["token"] not in str(await db.fetch("SELECT * FROM idempotency_keys"))


async def test_what_is_kept_of_a_request_is_nothing_to_try_guesses_at(anyone, people, web1, db):
    db.keys = SealingKeys([bytes(32)])
    headers = {**people["ann"], "Idempotency-Key": "k"}
    first = await anyone.post("/api/v1/jobs", json=job(), headers=headers)
    again = await anyone.post("/api/v1/jobs", json=job(), headers=headers)
    assert again.json() == first.json()
    kept = await db.fetchval("SELECT body_sha256 FROM idempotency_keys")
    assert kept == db.keys.fingerprint(first.request.content)
    assert kept != hashlib.sha256(first.request.content).digest()


async def test_lists_page_by_cursor(anyone, people, web1):
    for _ in range(3):
        await anyone.post("/api/v1/jobs", json=job(), headers=people["ann"])
    first = (await anyone.get("/api/v1/jobs?limit=2", headers=people["ann"])).json()
    rest = (await anyone.get(f"/api/v1/jobs?limit=2&after={first['next']}", headers=people["ann"])).json()
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (2, 1, None)


async def test_jobs_are_listed_by_what_is_asked_for(anyone, people, web1):
    for host in (["web-1"], [1]):
        answer = await anyone.post("/api/v1/jobs", json={**job(), "hosts": host}, headers=people["ann"])
        assert answer.status_code == 201
    await anyone.post("/api/v1/jobs/2/cancel", headers=people["ann"])

    async def listed(query):
        answer = await anyone.get(f"/api/v1/jobs?{query}", headers=people["vera"])
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["items"]]

    assert await listed("status=queued") == [1]
    assert await listed("status=queued&status=cancelled") == [2, 1]
    assert await listed("host=WEB-1&type=command&created_by=ann&since=2020-01-01T00:00:00Z") == [2, 1]
    assert await listed("until=2020-01-01T00:00:00%2B05:30") == []
    assert await listed("script=tidy") == await listed("instance=1") == []


NO_FILTERS = (
    "status=odd",
    "since=yesterday",
    "since=2026-01-01T00:00:00",
    "until=0001-01-01T00:00:00%2B14:00",
)


@pytest.mark.parametrize("query", NO_FILTERS)
async def test_a_filter_that_says_nothing_is_refused(anyone, people, query):
    answer = await anyone.get(f"/api/v1/jobs?{query}", headers=people["ann"])
    assert (answer.status_code, len(answer.json()["problems"])) == (422, 1)


@pytest.mark.parametrize("at", ["2027-01-01T08:00:00", "0001-01-01T00:00:00+14:00", "soon"])
async def test_a_job_for_later_needs_a_moment_with_an_offset(anyone, people, web1, at):
    body = job(scheduled_at=at)
    assert (await anyone.post("/api/v1/jobs", json=body, headers=people["ann"])).status_code == 422


async def test_the_life_of_a_job_over_rest(anyone, people, web1):
    made = await anyone.post("/api/v1/jobs", json=job(priority="high"), headers=people["ann"])
    path = f"/api/v1/jobs/{made.json()['jobs'][0]}"
    shown = (await anyone.get(path, headers=people["vera"])).json()
    assert (shown["status"], shown["priority"], shown["waits"] is not None) == ("queued", "high", True)
    assert (await anyone.post(f"{path}/cancel", headers=people["ann"])).json()["status"] == "cancelled"
    assert (await anyone.post(f"{path}/retry", headers=people["ann"])).status_code == 409
    assert (await anyone.delete(path, headers=people["ann"])).status_code == 204
    assert (await anyone.get(path, headers=people["ann"])).status_code == 404


async def test_hosts_are_tagged_and_decommissioned_over_rest(anyone, people, web1):
    tagged = await anyone.patch("/api/v1/hosts/web-1", json={"tags": ["old"]}, headers=people["ann"])
    assert tagged.json()["tags"] == ["old"]
    change = {"tags": {"add": ["web"], "remove": ["old"]}}
    changed = await anyone.patch("/api/v1/hosts/web-1", json=change, headers=people["ann"])
    assert changed.json()["tags"] == ["web"]
    assert (await anyone.get("/api/v1/hosts?tag=web", headers=people["vera"])).json()["items"][0][
        "name"
    ] == "web-1"
    gone = await anyone.delete("/api/v1/hosts/web-1", headers=people["ann"])
    assert gone.json()["decommissioned_at"] is not None
    assert (await anyone.get("/api/v1/hosts", headers=people["vera"])).json()["items"] == []


async def test_what_was_done_is_in_the_audit_trail(anyone, people, web1):
    await anyone.post("/api/v1/jobs", json=job(), headers=people["ann"])
    rows = (await anyone.get("/api/v1/audit?action=job.dispatch", headers=people["ann"])).json()["items"]
    assert [(row["actor_name"], row["detail"]["host"]) for row in rows] == [("ann", "web-1")]


async def test_probes_and_metrics_answer_anybody(anyone, people, web1):
    await anyone.post("/api/v1/jobs", json=job(), headers=people["ann"])
    assert (await anyone.get("/healthz")).json() == {"status": "ok"}
    assert (await anyone.get("/readyz")).status_code == 200
    metrics = (await anyone.get("/metrics")).text
    assert 'opsgate_jobs{status="queued"} 1.0' in metrics
    assert "web-1" not in metrics


async def test_without_a_database_the_answer_is_503(anyone, people, db):
    await db.close()
    assert (await anyone.get("/readyz")).status_code == 503
    answer = await anyone.get("/api/v1/me", headers=people["ann"])
    assert (answer.status_code, answer.json()["title"]) == (503, "Not available now")
    assert (await anyone.get("/healthz")).status_code == 200


async def test_the_api_describes_itself_with_its_guards(anyone):
    described = (await anyone.get("/api/openapi.json")).json()
    assert described["paths"]["/api/v1/jobs"]["post"]["x-opsgate-guard"] == "permission jobs.manage"
    assert "/agent/v1/poll" in described["paths"]


async def test_the_api_says_where_output_is_streamed(anyone):
    paths = (await anyone.get("/api/openapi.json")).json()["paths"]
    assert "`events`" in paths["/api/v1/jobs/{job_id}/output"]["get"]["description"]
    streamed = paths["/api/v1/jobs/{job_id}/events"]["get"]
    assert list(streamed["responses"]["200"]["content"]) == ["text/event-stream"]
    assert "`output`" in streamed["description"]
