"""Signing in with a browser: the cookie, and what keeps other sites from using it."""

import httpx2
import pytest

from definitions.permissions import SYSTEM
from store import users

PASSWORD = "correct horse battery staple"


@pytest.fixture
async def signed_in(db, anyone):
    await users.bootstrap(db)
    await users.create(db, SYSTEM, "bob", None, PASSWORD, ["admin"])
    answer = await anyone.post("/api/v1/sessions", json={"name": "Bob", "password": PASSWORD})
    assert answer.status_code == 201
    return answer


async def test_signing_in_gives_a_cookie_that_scripts_cannot_read(signed_in):
    cookie = signed_in.headers["set-cookie"].lower()
    assert cookie.startswith("opsgate_session=ogw_")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "ogw_" not in signed_in.text


async def test_reading_takes_the_cookie_alone(signed_in, anyone):
    me = (await anyone.get("/api/v1/me")).json()
    assert (me["name"], me["roles"]) == ("bob", ["admin"])


async def test_changing_takes_the_csrf_token_too(signed_in, anyone):
    body = {"name": "laptop"}
    assert (await anyone.post("/api/v1/tokens", json=body)).status_code == 403
    wrong = {"X-CSRF-Token": b"wr\xf6ng"}
    assert (await anyone.post("/api/v1/tokens", json=body, headers=wrong)).status_code == 403
    right = {"X-CSRF-Token": signed_in.json()["csrf_token"]}
    assert (await anyone.post("/api/v1/tokens", json=body, headers=right)).status_code == 201


async def test_a_request_another_site_made_is_refused(signed_in, anyone):
    headers = {"X-CSRF-Token": signed_in.json()["csrf_token"], "Sec-Fetch-Site": "cross-site"}
    assert (await anyone.get("/api/v1/me", headers=headers)).status_code == 403
    assert (await anyone.post("/api/v1/tokens", json={"name": "x"}, headers=headers)).status_code == 403


async def test_signing_out_ends_the_session_itself(signed_in, anyone):
    token = anyone.cookies["opsgate_session"]
    headers = {"X-CSRF-Token": signed_in.json()["csrf_token"]}
    assert (await anyone.delete("/api/v1/sessions", headers=headers)).status_code == 204
    anyone.cookies.set("opsgate_session", token)
    assert (await anyone.get("/api/v1/me")).status_code == 401


async def test_a_wrong_password_is_401_and_gives_no_cookie(signed_in, anyone):
    anyone.cookies.clear()
    answer = await anyone.post("/api/v1/sessions", json={"name": "bob", "password": "wrong password"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "wrong password" not in answer.text.replace("The name or the password is wrong.", "")


async def test_the_session_is_no_bearer_token(signed_in, anyone):
    token = anyone.cookies["opsgate_session"]
    anyone.cookies.clear()
    assert (await anyone.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})).status_code == 401


async def test_guesses_from_one_address_lock_nobody_out_at_another(signed_in, app):
    async def sign_in(address, password):
        transport = httpx2.ASGITransport(app, client=(address, 40000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://opsgate.test") as client:
            headers = {"X-Forwarded-For": f"203.0.113.{len(password)}"}
            body = {"name": "bob", "password": password}
            return (await client.post("/api/v1/sessions", json=body, headers=headers)).status_code

    assert {await sign_in("198.51.100.7", "x" * n) for n in range(10)} == {401}
    assert await sign_in("198.51.100.7", PASSWORD) == 429
    assert await sign_in("192.0.2.1", PASSWORD) == 201
