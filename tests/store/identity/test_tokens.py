"""Sessions, tokens, organisation secrets: shown once, good for what they say, and no longer."""

from datetime import UTC, datetime, timedelta

import pytest

from definitions.errors import Invalid, NotAuthenticated, NotFound, NotPermitted
from store import org_secrets, sessions, tokens, users


async def test_a_token_acts_as_its_person(db, viewer):
    new = await tokens.create(db, viewer, "laptop", viewer.id)
    assert new.token.startswith("ogt_")
    assert await tokens.actor(db, new.token) == viewer


async def test_the_token_itself_is_stored_nowhere(db, viewer):
    new = await tokens.create(db, viewer, "laptop", viewer.id)
    dump = str(await db.fetch("SELECT * FROM tokens")) + str(await db.fetch("SELECT * FROM audit"))
    assert new.token not in dump


async def test_a_token_loses_what_its_person_loses(db, admin, viewer):
    new = await tokens.create(db, viewer, "laptop", viewer.id)
    await users.change(db, admin, viewer.id, role_names=[])
    assert (await tokens.actor(db, new.token)).permissions == frozenset()
    await users.change(db, admin, viewer.id, disabled=True)
    with pytest.raises(NotAuthenticated):
        await tokens.actor(db, new.token)


async def test_a_token_ends_when_it_expires_or_is_revoked(db, viewer):
    old = await tokens.create(db, viewer, "old", viewer.id, datetime.now(UTC) - timedelta(seconds=1))
    revoked = await tokens.create(db, viewer, "revoked", viewer.id)
    await tokens.revoke(db, viewer, revoked.id)
    for token in (old.token, revoked.token, "ogt_made-up", ""):
        with pytest.raises(NotAuthenticated):
            await tokens.actor(db, token)


async def test_what_is_made_with_a_token_does_not_outlive_it(db, admin):
    soon = datetime.now(UTC) + timedelta(hours=1)
    by_token = await tokens.actor(db, (await tokens.create(db, admin, "hour", admin.id, soon)).token)
    for wanted in (None, soon + timedelta(days=1), soon):
        made = await tokens.create(db, by_token, "more", admin.id, wanted)
        assert made.expires_at == soon
        assert (await tokens.actor(db, made.token)).until == soon
    earlier = soon - timedelta(minutes=1)
    assert (await tokens.create(db, by_token, "less", admin.id, earlier)).expires_at == earlier
    endless = await tokens.actor(db, (await tokens.create(db, admin, "endless", admin.id)).token)
    assert (await tokens.create(db, endless, "as well", admin.id)).expires_at is None


async def test_a_password_that_somebody_else_sets_ends_the_tokens_there_were(db, admin, viewer):
    theirs = await tokens.create(db, viewer, "laptop", viewer.id)
    assert (await users.show(db, admin, viewer.id)).tokens == 1
    assert (await users.change(db, admin, viewer.id, password="another long password")).tokens == 0
    with pytest.raises(NotAuthenticated):
        await tokens.actor(db, theirs.token)


async def test_a_password_of_ones_own_choice_leaves_the_tokens_and_says_how_many(db, admin):
    made = [await tokens.create(db, admin, name, admin.id) for name in ("one", "two")]
    await tokens.create(db, admin, "over", admin.id, datetime.now(UTC) - timedelta(seconds=1))
    assert (await users.change(db, admin, admin.id, password="another long password")).tokens == 2
    for each in made:
        assert await tokens.actor(db, each.token) == admin


async def test_another_persons_tokens_are_out_of_reach(db, admin, viewer):
    theirs = await tokens.create(db, admin, "root", admin.id)
    with pytest.raises(NotPermitted):
        await tokens.create(db, viewer, "mine", admin.id)
    with pytest.raises(NotPermitted):
        await tokens.create(db, viewer, "mine", "ann")
    with pytest.raises(NotFound):
        await tokens.revoke(db, viewer, theirs.id)
    assert (await tokens.listing(db, viewer)).items == []


async def test_an_administrator_makes_tokens_for_others_by_name(db, admin, viewer):
    new = await tokens.create(db, admin, "for vera", "vera")
    assert (await tokens.actor(db, new.token)).name == "vera"
    assert [token.user for token in (await tokens.listing(db, admin)).items] == ["vera"]


async def test_the_use_of_a_token_is_noted(db, viewer):
    new = await tokens.create(db, viewer, "laptop", viewer.id)
    await tokens.actor(db, new.token)
    assert (await tokens.listing(db, viewer)).items[0].last_used_at is not None


async def test_a_session_acts_as_its_person_until_it_is_closed(db, viewer):
    new = await sessions.open(db, viewer.id)
    found = await sessions.actor(db, new.token)
    assert (found.actor, found.csrf_token) == (viewer, new.csrf_token)
    await sessions.close(db, new.token)
    with pytest.raises(NotAuthenticated):
        await sessions.actor(db, new.token)
    await sessions.close(db, new.token)


async def test_a_session_ends_by_itself(db, viewer):
    new = await sessions.open(db, viewer.id)
    await db.execute("UPDATE sessions SET expires_at = now()")
    with pytest.raises(NotAuthenticated):
        await sessions.actor(db, new.token)


async def test_a_new_password_ends_the_sessions_there_were(db, admin, viewer):
    new = await sessions.open(db, viewer.id)
    await users.change(db, admin, viewer.id, password="another long password")
    with pytest.raises(NotAuthenticated):
        await sessions.actor(db, new.token)


@pytest.mark.parametrize(
    ("uses", "lifetime"),
    [(0, timedelta(hours=1)), (1, timedelta(0)), (1, timedelta(days=91)), (10**6, timedelta(1))],
)
async def test_an_organisation_secret_has_bounds(db, admin, uses, lifetime):
    with pytest.raises(Invalid):
        await org_secrets.create(db, admin, "s", uses, lifetime)


async def test_making_organisation_secrets_takes_hosts_manage(db, viewer):
    with pytest.raises(NotPermitted):
        await org_secrets.create(db, viewer, "s")
    with pytest.raises(NotPermitted):
        await org_secrets.listing(db, viewer)
