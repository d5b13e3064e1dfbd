"""Enrolment: how a host gets its identity, and all the ways it does not."""

import asyncio
import base64
import os
from datetime import timedelta

import pytest

from agent.protocol import EnrolRequest
from definitions.errors import Invalid, NotAuthenticated, NotPermitted, OpsgateError
from store import agents, hosts, org_secrets


def request(secret, hostname="web-1", key=None):
    return EnrolRequest(
        org_secret=secret,
        hostname=hostname,
        os="linux",
        public_key=base64.b64encode(key if key is not None else os.urandom(32)).decode(),
        version="0.1.0",
    )


@pytest.fixture
async def secret(db, admin):
    return (await org_secrets.create(db, admin, "tests", 3, timedelta(hours=1))).secret


async def test_an_enrolled_agent_is_known_by_its_token(db, secret):
    reply = await agents.enrol(db, request(secret))
    actor = await agents.authenticate(db, reply.token)
    assert (actor.kind, actor.id, actor.host_id, actor.name) == (
        "agent",
        reply.agent_id,
        reply.host_id,
        "web-1",
    )
    assert actor.permissions == frozenset()
    assert reply.token.startswith("oga_")


async def test_a_secret_is_good_for_its_uses_even_side_by_side(db, secret):
    results = await asyncio.gather(
        *(agents.enrol(db, request(secret, f"h{n}")) for n in range(6)), return_exceptions=True
    )
    assert sum(isinstance(result, NotAuthenticated) for result in results) == 3
    assert await db.fetchval("SELECT count(*) FROM hosts") == 3


@pytest.mark.parametrize("change", ["expires_at = now()", "revoked_at = now()", "uses = max_uses"])
async def test_a_secret_that_is_over_enrols_nobody(db, secret, change):
    await db.execute(f"UPDATE org_secrets SET {change}")
    with pytest.raises(NotAuthenticated):
        await agents.enrol(db, request(secret))


async def test_a_made_up_secret_enrols_nobody(db, secret):
    with pytest.raises(NotAuthenticated):
        await agents.enrol(db, request("ogs_guess"))


@pytest.mark.parametrize("hostname", ["WEB-1", "web-1.", "ｗｅｂ-1", " web-1"])
async def test_another_spelling_is_the_same_host(db, secret, hostname):
    await agents.enrol(db, request(secret))
    with pytest.raises(NotPermitted, match="already a host web-1"):
        await agents.enrol(db, request(secret, hostname))


@pytest.mark.parametrize("hostname", ["42", "tag:x", "@engine", "a b", "wéb", "../x"])
async def test_a_name_that_means_something_else_is_refused_and_costs_no_use(db, secret, hostname):
    with pytest.raises(Invalid):
        await agents.enrol(db, request(secret, hostname))
    assert await db.fetchval("SELECT uses FROM org_secrets") == 0


KEYS = {"empty": b"", "zeros": bytes(32), "short": b"x" * 31, "long": b"x" * 33}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
async def test_a_key_that_is_none_is_refused(db, secret, key):
    with pytest.raises(Invalid, match="public key"):
        await agents.enrol(db, request(secret, key=key))


async def test_enrolling_again_takes_an_operators_yes_and_ends_the_first_agent(db, secret, admin):
    first = await agents.enrol(db, request(secret))
    with pytest.raises(NotPermitted):
        await agents.enrol(db, request(secret))
    await hosts.allow_reenrolment(db, admin, "web-1")
    second = await agents.enrol(db, request(secret))
    assert second.host_id == first.host_id
    assert (await agents.authenticate(db, second.token)).id == second.agent_id
    with pytest.raises(NotPermitted, match="decommissioned"):
        await agents.authenticate(db, first.token)
    with pytest.raises(NotPermitted):  # the yes was for once
        await agents.enrol(db, request(secret))


async def test_a_yes_lasts_an_hour(db, secret, admin):
    await agents.enrol(db, request(secret))
    await hosts.allow_reenrolment(db, admin, "web-1")
    await db.execute("UPDATE hosts SET reenrol_until = now() - interval '1 second'")
    with pytest.raises(NotPermitted):
        await agents.enrol(db, request(secret))


async def test_a_decommissioned_host_does_not_come_back_by_itself(db, secret, admin):
    reply = await agents.enrol(db, request(secret))
    await hosts.decommission(db, admin, "web-1")
    with pytest.raises(NotPermitted):
        await agents.authenticate(db, reply.token)
    with pytest.raises(NotPermitted):
        await agents.enrol(db, request(secret))


async def test_a_token_nobody_has_is_not_known(db):
    with pytest.raises(NotAuthenticated, match="enrol again"):
        await agents.authenticate(db, "oga_guess")


async def test_changing_hosts_takes_hosts_manage(db, secret, viewer):
    await agents.enrol(db, request(secret))
    for act in (
        lambda: hosts.label(db, viewer, "web-1", tags=["x"]),
        lambda: hosts.decommission(db, viewer, "web-1"),
        lambda: hosts.allow_reenrolment(db, viewer, "web-1"),
    ):
        with pytest.raises(OpsgateError, match=r"hosts\.manage"):
            await act()


async def test_a_tag_that_is_none_is_refused(db, secret, admin):
    await agents.enrol(db, request(secret))
    with pytest.raises(Invalid):
        await hosts.label(db, admin, "web-1", tags=["ok", "a b"])
    assert (await hosts.show(db, admin, "web-1")).tags == []
