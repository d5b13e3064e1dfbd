"""Behind a proxy: whose word counts on where a request comes from."""

import os
from pathlib import Path

import httpx2
import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from agent_api.authentication import address_of
from deployments.settings import WebSettings
from deployments.web import server_config

PROXY, STRANGER, CLIENT = "192.0.2.10", "198.51.100.7", "203.0.113.9"


@pytest.fixture(autouse=True)
def ordinary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No opsgate.toml of this machine, no settings in the environment but one that uvicorn knows."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("OPSGATE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")


async def seen(settings: WebSettings, peer: str, forwarded: str) -> str:
    """The address that throttles and logs go by."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(address_of(Request(scope)))(scope, receive, send)

    config = server_config(app, settings, None)
    config.load()
    transport = httpx2.ASGITransport(config.loaded_app, client=(peer, 40000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://opsgate.test") as client:
        return (await client.get("/", headers={"X-Forwarded-For": forwarded})).text


def settings(**given: object) -> WebSettings:
    return WebSettings(database_url="postgresql://nowhere", **given)


async def test_by_default_nobody_says_for_another_where_a_request_comes_from():
    assert await seen(settings(), PROXY, CLIENT) == PROXY


async def test_a_trusted_proxy_says_where_a_request_comes_from_and_nobody_else():
    trusting = settings(web_trusted_proxies=[PROXY, "10.1.0.0/16"])
    assert await seen(trusting, PROXY, CLIENT) == CLIENT
    assert await seen(trusting, "10.1.2.3", f"{CLIENT}, {PROXY}") == CLIENT
    assert await seen(trusting, STRANGER, CLIENT) == STRANGER


async def test_what_a_client_itself_sends_the_proxy_does_not_count():
    assert await seen(settings(web_trusted_proxies=[PROXY]), PROXY, f"10.9.9.9, {CLIENT}") == CLIENT


def test_proxies_may_be_named_in_the_environment_and_in_the_file(monkeypatch: pytest.MonkeyPatch):
    Path("opsgate.toml").write_text('web_trusted_proxies = ["192.0.2.10", "2001:db8::/64"]')
    assert settings().web_trusted_proxies == ("192.0.2.10/32", "2001:db8::/64")
    monkeypatch.setenv("OPSGATE_WEB_TRUSTED_PROXIES", "192.0.2.11, 10.1.0.0/16")
    assert settings().web_trusted_proxies == ("192.0.2.11/32", "10.1.0.0/16")
    monkeypatch.setenv("OPSGATE_WEB_TRUSTED_PROXIES", "")
    assert settings().web_trusted_proxies == ()


@pytest.mark.parametrize("given", ["*", "proxy.example", "10.1.2.3/16"])
def test_what_is_no_address_or_network_is_refused(given: str):
    with pytest.raises(ValidationError, match="web_trusted_proxies"):
        settings(web_trusted_proxies=[given])
