"""Requests nobody sends by accident: every route answers them in words, and quickly."""

import asyncio
import json
import re
import time
from datetime import timedelta

import pytest

from agent_api import guarded
from definitions.permissions import SYSTEM
from store import org_secrets

WORKFLOW_OF_BRACKETS = {
    "name": "deep",
    "steps": [{"id": "a", "type": "condition", "condition": "(" * 1900 + "1" + ")" * 1900}],
}
BODIES = {
    "deep list": b"[" * 100_000,
    "deep object": b'{"a":' * 40_000,
    "deep payload": b'{"type":"command","hosts":["web-1"],"payload":' + b'{"a":' * 2000 + b"1" + b"}" * 2001,
    "number of 5000 digits": b'{"name": ' + b"9" * 5000 + b"}",
    "no number": b'{"name": NaN, "hosts": [Infinity]}',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "NUL": b'{"name":"a\\u0000","type":"command","hosts":["web-1\\u0000"],"payload":{"command":"\\u0000"}}',
    "half a character": b'{"name":"\\ud800","org_secret":"\\ud800","password":"\\ud800"}',
    "a list": b"[]",
    "null": b"null",
    "nothing": b"",
    "deep condition": json.dumps(WORKFLOW_OF_BRACKETS).encode(),
}
IDS = ["9" * 30, "9" * 5000, "-1", "0", "%00", "%ff", "..%2f..%2fetc", "'%20OR%201=1--", "1%0d%0aX-Evil:%20y"]
QUERIES = [
    "after='",
    "after=%00",
    "after=" + "9" * 5000,
    "limit=-1",
    "limit=" + "9" * 25,
    "status=%00",
    "host=%00",
]


def headers_for(guard, people, agent):
    return {"Authorization": f"Bearer {agent.token}"} if guard.agent else people["ann"]


async def test_a_body_of_any_shape_is_answered_in_words_and_quickly(app, anyone, people, enrolled):
    web1 = await enrolled(anyone)
    for method, path, guard in guarded.routes(app):
        if guard is None or method not in ("POST", "PUT", "PATCH"):
            continue
        filled = re.sub(r"\{[^}]+\}", "7", path)
        for name, body in BODIES.items():
            headers = {**headers_for(guard, people, web1), "Content-Type": "application/json"}
            began = time.perf_counter()
            answer = await anyone.request(method, filled, content=body, headers=headers)
            assert answer.status_code < 500, (method, path, name)
            assert time.perf_counter() - began < 5, (method, path, name)


async def test_an_id_of_any_shape_is_answered_in_words(app, anyone, people, enrolled):
    web1 = await enrolled(anyone)
    for method, path, guard in guarded.routes(app):
        if guard is None or "{" not in path:
            continue
        for text in IDS:
            filled = re.sub(r"\{[^}]+\}", text, path)
            body = None if method in ("GET", "DELETE") else {}
            answer = await anyone.request(method, filled, json=body, headers=headers_for(guard, people, web1))
            assert answer.status_code < 500, (method, path, text[:40])
            assert "x-evil" not in answer.headers


async def test_a_query_of_any_shape_is_answered_in_words(app, anyone, people):
    for method, path, guard in guarded.routes(app):
        if guard is None or method != "GET" or "{" in path or guard.agent or guard.public is not None:
            continue
        for query in QUERIES:
            answer = await anyone.get(f"{path}?{query}", headers=people["ann"])
            assert answer.status_code < 500, (path, query[:40])


async def test_an_approver_of_any_shape_is_answered_in_words(anyone, people):
    steps = [{"id": "a", "type": "approval", "title": "t", "approvers": ["user:" + "9" * 5000]}]
    answer = await anyone.put(
        "/api/v1/workflows/by-name/w", json={"name": "w", "steps": steps}, headers=people["ann"]
    )
    assert answer.status_code < 500
    answer = await anyone.post("/api/v1/workflows/w/publish", json={}, headers=people["ann"])
    assert answer.status_code == 422


async def test_a_secret_for_one_host_lets_in_one_of_many_at_once(app, anyone, enrol_body):
    made = await org_secrets.create(app.state.db, SYSTEM, "one", 1, timedelta(hours=1))
    tries = [anyone.post("/agent/v1/enrol", json=enrol_body(made.secret, f"web-{i}")) for i in range(8)]
    answers = await asyncio.gather(*tries)
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


SAME = ["WEB-1", "Web-1", "web-1.", " web-1 ", "\uff57\uff45\uff42-1", "web-1\n", "web\uff0d1"]
NO_NAME = [
    "w\u0435b-1",
    "web-1\u200b",
    "web\u00ad-1",
    "web\u20101",
    "5",
    "tag:x",
    "@engine",
    "..",
    "a/b",
    "-x",
    "a,b",
    "a\0",
]


async def test_a_host_name_has_one_spelling(anyone, enrolled, secret, enrol_body):
    await enrolled(anyone)
    for name in SAME:
        answer = await anyone.post("/agent/v1/enrol", json=enrol_body(secret, name))
        assert answer.status_code == 403, name
    for name in NO_NAME:
        answer = await anyone.post("/agent/v1/enrol", json=enrol_body(secret, name))
        assert answer.status_code == 422, name


async def test_a_key_of_one_person_answers_nobody_else(anyone, people, dispatch, enrolled):
    await enrolled(anyone)
    body = {"type": "command", "hosts": ["web-1"], "payload": {"command": "true"}}
    key = {"Idempotency-Key": "the same"}
    first = await anyone.post("/api/v1/jobs", json=body, headers={**people["ann"], **key})
    assert first.status_code == 201
    for name in ("vera", "sam"):
        answer = await anyone.post("/api/v1/jobs", json=body, headers={**people[name], **key})
        assert (answer.status_code, "idempotency-replayed" in answer.headers) == (403, False)
    other = await anyone.post(
        "/api/v1/jobs", json={**body, "priority": "low"}, headers={**people["ann"], **key}
    )
    assert other.status_code == 422


@pytest.mark.parametrize("claim", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
async def test_a_forwarded_address_buys_no_more_guesses(anyone, enrol_body, people, claim):
    for number in range(10):
        headers = {claim: f"10.0.0.{number}"}
        answer = await anyone.post("/agent/v1/enrol", json=enrol_body(f"ogs_{number}"), headers=headers)
        assert answer.status_code == 401
    answer = await anyone.post("/agent/v1/enrol", json=enrol_body("ogs_x"), headers={claim: "10.9.9.9"})
    assert answer.status_code == 429
