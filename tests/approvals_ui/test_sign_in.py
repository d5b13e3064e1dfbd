"""Signing in and out by the pages."""

import pytest


async def test_home_sends_a_stranger_to_the_sign_in_form(browser, people):
    response = await browser().get("/")
    assert (response.status_code, response.headers["location"]) == (303, "/sign-in?next=%2F")


async def test_the_right_password_opens_a_session_and_goes_where_the_person_wanted(browser, people):
    anna = browser()
    response = await anna.sign_in("anna", next_path="/instances?status=paused")
    assert (response.status_code, response.headers["location"]) == (303, "/instances?status=paused")
    assert (await anna.get("/inbox")).status_code == 200


async def test_the_session_cookie_is_out_of_reach_of_scripts_and_of_other_sites(browser, people):
    response = await browser().sign_in("anna")
    cookie = next(
        each for each in response.headers.get_list("set-cookie") if each.startswith("opsgate_session=")
    )
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()


async def test_a_wrong_password_is_refused_and_the_name_is_kept(browser, people):
    response = await browser().sign_in("anna", "a guess 8f3")
    assert response.status_code == 401
    assert 'value="anna"' in response.text
    assert "The name or the password is wrong." in response.text
    assert "Sign in first" not in response.text
    assert "a guess 8f3" not in response.text
    assert "opsgate_session" not in response.headers.get("set-cookie", "")


async def test_guessing_is_throttled(browser, people):
    stranger = browser()
    statuses = [(await stranger.sign_in("anna", f"guess {n}")).status_code for n in range(12)]
    assert statuses[-1] == 429


async def test_the_sign_in_form_must_have_been_opened_in_this_browser(browser, people):
    elsewhere = await browser().csrf("/sign-in")
    fields = {"name": "anna", "password": "correct horse battery staple", "next": "/"}
    assert (await browser().post("/sign-in", fields, elsewhere)).status_code == 403


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.test",
        "https://evil.test/",
        "/\\evil.test",
        "/\t/evil.test",
        "\\\\evil.test",
        "javascript:alert(1)",
        "",
    ],
)
async def test_signing_in_never_leads_to_another_site(browser, people, wanted):
    response = await browser().sign_in("anna", next_path=wanted)
    assert response.headers["location"] == "/"


async def test_whoever_is_signed_in_skips_the_form_but_stays_on_this_site(browser, people):
    anna = browser()
    await anna.sign_in("anna")
    response = await anna.get("/sign-in", params={"next": "https://evil.test"})
    assert (response.status_code, response.headers["location"]) == (303, "/")


async def test_signing_out_ends_the_session_in_the_store(browser, people, db):
    anna = browser()
    await anna.sign_in("anna")
    response = await anna.post("/sign-out", {}, await anna.csrf("/inbox"))
    assert response.headers["location"] == "/sign-in"
    assert await db.fetchval("SELECT count(*) FROM sessions") == 0


async def test_signing_out_takes_a_csrf_token(browser, people):
    anna = browser()
    await anna.sign_in("anna")
    assert (await anna.post("/sign-out", {}, "guess")).status_code == 403
    assert (await anna.get("/inbox")).status_code == 200
