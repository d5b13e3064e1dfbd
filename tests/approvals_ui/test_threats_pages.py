"""Hostile texts, ids, forms and addresses at the pages."""

import re

import pytest

from agent_api import guarded
from agent_api.events import Events
from approvals_ui.app import create_pages
from approvals_ui.settings import PagesSettings

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}{% raw %}"


async def test_no_text_of_anybody_becomes_part_of_a_page(browser, seed):
    seeded = await seed(note=HOSTILE, stdout=HOSTILE, description=HOSTILE)
    anna = browser()
    await anna.enter("anna")
    pages = [
        "/inbox",
        "/instances",
        "/workflows",
        f"/instances/{seeded.instance_id}",
        f"/approvals/{seeded.request_id}",
        f"/workflows/{seeded.workflow_id}",
    ]
    shown = [(await anna.get(page)).text for page in pages]
    refused = await anna.vote(seeded.request_id, "approve", HOSTILE, digest="0" * 64)
    await anna.vote(seeded.request_id, "approve", HOSTILE)
    shown += [refused.text, (await anna.get(f"/approvals/{seeded.request_id}")).text]
    assert sum("alert(1)" in text for text in shown) >= 5  # the control: the text is there
    for text in shown:
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "49" not in re.findall(r"'(..)\{%", text)


async def test_an_address_of_any_shape_has_an_answer_in_words(db, browser, seed):
    await seed()
    olga = browser()
    await olga.enter("olga")
    for method, path, guard in guarded.routes(create_pages(db, PagesSettings(), Events())):
        if guard is None or method != "GET" or "changes" in path:
            continue
        for text in ("9" * 25, "9" * 5000, "-1", "0", "%00", "%ff"):
            asked = re.sub(r"\{[^}]+\}", text, path) if "{" in path else f"{path}?after={text}&status={text}"
            away = 503 if path.startswith("/prefect") else None  # there is no Prefect here
            status = (await olga.get(asked)).status_code
            assert status < 500 or status == away, asked[:60]


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_following_a_link_decides_nothing(db, browser, seed, decision):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    path = f"/approvals/{seeded.request_id}/vote?decision={decision}"
    assert (await anna.get(path)).status_code == 405
    assert (await anna.client.head(path)).status_code == 405
    assert await db.fetchval("SELECT status FROM approval_requests") == "pending"


FOREIGN = [
    {"Origin": "http://evil.test"},
    {"Origin": "null"},
    {"Origin": "http://opsgate.test.evil.test"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
]


async def test_every_form_refuses_another_site_and_a_missing_token(db, browser, seed):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    token = await anna.csrf("/inbox")
    forms = [
        re.sub(r"\{[^}]+\}", "1", path)
        for method, path, guard in guarded.routes(create_pages(db, PagesSettings(), Events()))
        if method == "POST" and guard is not None and guard.public is None
    ]
    assert len(forms) >= 4
    for path in forms:
        for headers in FOREIGN:
            answer = await anna.client.post(path, data={"csrf_token": token}, headers=headers)
            assert answer.status_code == 403, (path, headers)
        for wrong in ("", "x", "\u00e9", "0" * 5000):
            assert (await anna.client.post(path, data={"csrf_token": wrong})).status_code == 403, path
        for body in (b"", b"csrf_token", b'{"csrf_token": 1}'):
            answer = await anna.client.post(path, content=body, headers={"Content-Type": "text/plain"})
            assert answer.status_code == 403, path
    assert await db.fetchval("SELECT status FROM instances WHERE id = $1", seeded.instance_id) == "paused"


async def test_a_session_that_was_planted_before_signing_in_is_not_kept(browser, people):
    anna = browser()
    anna.client.cookies.set("opsgate_session", "ogw_planted")
    answer = await anna.sign_in("anna")
    assert answer.headers["set-cookie"].startswith("opsgate_session=ogw_")
    assert "ogw_planted" not in answer.headers["set-cookie"]


@pytest.mark.parametrize("text", ["a\0b", "9" * 5000, "x" * 100_000])
async def test_a_form_of_any_content_has_an_answer_in_words(browser, seed, text):
    seeded = await seed()
    olga = browser()
    await olga.enter("olga")
    token = await olga.csrf("/inbox")
    for path, fields in (
        (f"/workflows/{seeded.workflow_id}/start", {"host": text, "input.threshold": text}),
        (
            f"/workflows/{seeded.workflow_id}/start",
            {"host": "web-1", "input.threshold": "1", "input.note": text},
        ),
        (f"/approvals/{seeded.request_id}/vote", {"decision": text, "digest": text, "comment": text}),
        (f"/approvals/{seeded.request_id}/vote", {"decision": "approve", "digest": text, "comment": text}),
        (f"/instances/{seeded.instance_id}/cancel", {"reason": text}),
    ):
        assert (await olga.post(path, fields, token)).status_code < 500, path
    assert (await browser().sign_in(text, text)).status_code < 500
