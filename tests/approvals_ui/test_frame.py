"""What holds for every page: guards, headers, errors, no script or style in the page itself."""

import re
from pathlib import Path

import pytest

import approvals_ui
from agent_api import guarded
from agent_api.events import Events
from approvals_ui.app import create_pages
from approvals_ui.settings import PagesSettings

ROOT = Path(approvals_ui.__file__).parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def test_every_route_has_a_guard(db):
    found = list(guarded.routes(create_pages(db, PagesSettings(), Events())))
    assert len(found) > 12
    assert [(method, path) for method, path, guard in found if guard is None] == [("*", "/static")]


def test_only_signing_in_is_open_to_everybody(db):
    found = guarded.routes(create_pages(db, PagesSettings(), Events()))
    assert {path for _, path, guard in found if guard and guard.public} == {"/sign-in"}


@pytest.mark.parametrize(
    "path", ["/inbox", "/approvals/1", "/instances", "/instances/1", "/workflows", "/workflows/1"]
)
async def test_a_stranger_is_sent_to_sign_in_and_back(browser, people, path):
    response = await browser().get(f"{path}?after=3")
    assert response.status_code == 303
    assert response.headers["location"] == f"/sign-in?next={path.replace('/', '%2F')}%3Fafter%3D3"


async def test_a_form_sent_without_a_session_comes_back_to_its_page(browser, people):
    headers = {"Referer": "http://opsgate.test/approvals/7"}
    response = await browser().client.post("/approvals/7/vote", data={"comment": "x"}, headers=headers)
    assert response.headers["location"] == "/sign-in?next=%2Fapprovals%2F7"


async def test_a_part_that_refreshes_itself_reloads_the_page_when_the_session_has_ended(browser, people):
    response = await browser().get("/instances/1", headers={"HX-Request": "true"})
    assert (response.status_code, response.headers["hx-refresh"]) == (401, "true")


@pytest.mark.parametrize("path", ["/sign-in", "/nowhere", "/static/opsgate.css", "/inbox"])
async def test_every_answer_carries_the_security_headers(browser, people, path):
    headers = (await browser().get(path)).headers
    assert headers["content-security-policy"].startswith("default-src 'self'; ")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_holds_script_or_style_or_switches_escaping_off(template):
    text = template.read_text()
    assert not re.search(
        r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\bsrc=)|javascript:", text, re.IGNORECASE
    )
    assert not re.search(r"\|\s*safe\b|autoescape|Markup", text)


@pytest.mark.parametrize("file", sorted((ROOT / "static").rglob("*.*")), ids=lambda path: path.name)
def test_no_static_file_of_ours_loads_anything_from_elsewhere(file):
    if file.parent.name == "htmx":
        assert (file.parent / "LICENSE-htmx.txt").is_file()
        return
    assert not re.search(r"https?://(?!www\.w3\.org/)", file.read_text())


async def test_a_form_that_is_too_large_is_refused_before_it_is_read(browser, people):
    response = await browser().client.post("/sign-in", data={"name": "x" * 600_000})
    assert response.status_code == 422
    assert "at most 512 KiB" in response.text


async def test_an_unexpected_error_is_a_page_that_tells_nothing(browser, people, db):
    anna = browser()
    await anna.enter("anna")
    await db.execute("ALTER TABLE approval_requests RENAME COLUMN status TO hidden_detail")
    response = await anna.get("/inbox")
    assert response.status_code == 500
    assert "An unexpected error" in response.text
    assert "column" not in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'self'")
