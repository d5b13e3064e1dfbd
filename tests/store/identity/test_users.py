"""People: names, roles, passwords, and who may change them."""

import asyncio

import pytest

from definitions.errors import Conflict, Invalid, NotAuthenticated, NotFound, NotPermitted, RateLimited
from definitions.permissions import PERMISSIONS, ROLES, SYSTEM
from store import passwords, roles, users
from store.names import checked

PASSWORD = "correct horse battery"


async def test_the_built_in_roles_grant_what_they_say_and_come_back_when_changed(db, admin):
    await db.execute("UPDATE roles SET permissions = '{}' WHERE name = 'viewer'")
    await users.bootstrap(db)
    found = {role.name: set(role.permissions) for role in await roles.listing(db, admin)}
    assert found == {name: set(granted) for name, granted in ROLES.items()}


async def test_a_person_may_do_what_all_their_roles_grant(db, admin):
    view = await users.create(db, admin, "max", None, None, ["viewer", "approver"])
    actor = await users.actor_of(db, view.id)
    assert actor.permissions == ROLES["viewer"] | ROLES["approver"]


async def test_a_role_of_ones_own_grants_its_permissions(db, admin):
    await roles.save(db, admin, "auditor", ["audit.view"])
    view = await users.create(db, admin, "aud", None, None, ["auditor"])
    assert (await users.actor_of(db, view.id)).permissions == {"audit.view"}


async def test_a_role_cannot_grant_what_does_not_exist(db, admin):
    with pytest.raises(Invalid, match="everything"):
        await roles.save(db, admin, "god", ["everything"])


async def test_a_built_in_role_stays_as_it_is(db, admin):
    with pytest.raises(Conflict):
        await roles.save(db, admin, "viewer", sorted(PERMISSIONS))


@pytest.mark.parametrize("name", ["Bob", "  bob ", "ｂｏｂ", "BOB"])
async def test_a_name_has_one_spelling(db, admin, name):
    assert (await users.create(db, admin, name, None, None, [])).name == "bob"
    with pytest.raises(Conflict, match="name"):
        await users.create(db, admin, "bob", None, None, [])


@pytest.mark.parametrize(
    "name", ["", "a b", "42", "а-cyrillic", "role:admin", "-x", "x" * 300, "a\0b", "a/b"]
)
def test_what_could_be_mistaken_for_something_else_is_no_name(name):
    with pytest.raises(Invalid):
        checked(name, "person")


async def test_the_right_password_signs_in_and_a_wrong_one_does_not(db, admin):
    await users.create(db, admin, "bob", None, PASSWORD, ["viewer"])
    assert (await users.authenticate(db, "Bob", PASSWORD)).name == "bob"
    with pytest.raises(NotAuthenticated):
        await users.authenticate(db, "bob", PASSWORD + "x")


async def test_the_password_is_stored_as_argon2(db, admin):
    await users.create(db, admin, "bob", None, PASSWORD, [])
    stored = await db.fetchval("SELECT password_hash FROM users WHERE name = 'bob'")
    assert stored.startswith("$argon2id$")


async def test_nobody_signs_in_without_a_password(db, admin):
    with pytest.raises(NotAuthenticated):
        await users.authenticate(db, "ann", "")


async def test_a_short_password_is_refused(db, admin):
    with pytest.raises(Invalid, match="10"):
        await users.create(db, admin, "bob", None, "short", [])


HERE, THERE = "192.0.2.1", "198.51.100.7"


async def tried(db, address, times=1):
    for _ in range(times):
        await passwords.note_try(db, "bob", address)


async def test_guesses_are_throttled_by_address_and_a_right_one_does_not_get_through(db, admin):
    await users.create(db, admin, "bob", None, PASSWORD, [])
    await tried(db, THERE, 10)
    with pytest.raises(RateLimited):
        await users.authenticate(db, "bob", PASSWORD, THERE)
    await db.execute("UPDATE sign_in_failures SET at = now() - interval '16 minutes'")
    assert (await users.authenticate(db, "bob", PASSWORD, THERE)).name == "bob"
    assert await db.fetchval("SELECT count(*) FROM sign_in_failures") == 0


async def test_who_guesses_at_a_name_locks_out_nobody_elsewhere_and_is_not_let_off_by_them(db, admin):
    await users.create(db, admin, "bob", None, PASSWORD, [])
    await tried(db, THERE, 10)
    for address in (HERE, "::ffff:192.0.2.1", "2001:db8::1"):
        assert (await users.authenticate(db, "bob", PASSWORD, address)).name == "bob"
    with pytest.raises(RateLimited):
        await tried(db, THERE)


async def test_guesses_from_many_addresses_have_one_each_and_then_none(db, admin, monkeypatch):
    monkeypatch.setattr(passwords, "SHARES", ((6, 3), (8, 1)))
    for address in range(3):
        await tried(db, f"203.0.113.{address}", 2)
    with pytest.raises(RateLimited):
        await tried(db, "203.0.113.0")
    await tried(db, HERE)
    await passwords.forgive(db, "bob", HERE)
    await tried(db, HERE)
    with pytest.raises(RateLimited):
        await tried(db, HERE)
    await tried(db, THERE)
    with pytest.raises(RateLimited):
        await tried(db, "203.0.113.9")


async def test_a_network_that_one_has_whole_is_one_address(db, admin):
    for address in range(10):
        await tried(db, f"2001:db8:0:1::{address}")
    with pytest.raises(RateLimited):
        await tried(db, "2001:db8:0:1:ffff::1")
    await tried(db, "2001:db8:0:2::1")


async def test_who_guesses_at_many_names_has_so_many_tries_at_all(db, admin, monkeypatch):
    monkeypatch.setattr(passwords, "OF_ADDRESS", 5)
    await users.create(db, admin, "bob", None, PASSWORD, [])
    for number in range(4):
        await passwords.note_try(db, f"name {number}", f"2001:db8::{number}")
    assert (await users.authenticate(db, "bob", PASSWORD, "2001:db8::9")).name == "bob"
    await passwords.note_try(db, "one more", "2001:db8::9")
    with pytest.raises(RateLimited, match="from this address"):
        await users.authenticate(db, "bob", PASSWORD, "2001:db8::9")
    assert (await users.authenticate(db, "bob", PASSWORD, HERE)).name == "bob"


async def test_guesses_at_many_names_side_by_side_count_too(db, admin, monkeypatch):
    monkeypatch.setattr(passwords, "OF_ADDRESS", 5)
    tries = [passwords.note_try(db, f"name {number}", HERE) for number in range(9)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, RateLimited) for result in results) == 4


async def test_guesses_side_by_side_count_too(db, admin):
    await users.create(db, admin, "bob", None, PASSWORD, [])
    tries = [users.authenticate(db, "bob", f"wrong password {n}") for n in range(14)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, RateLimited) for result in results) == 4


async def test_a_disabled_person_is_nobody(db, admin):
    view = await users.create(db, admin, "bob", None, PASSWORD, ["viewer"])
    await users.change(db, admin, view.id, disabled=True)
    with pytest.raises(NotAuthenticated, match="disabled"):
        await users.authenticate(db, "bob", PASSWORD)
    with pytest.raises(NotFound):
        await users.actor_of(db, view.id)


async def test_a_change_leaves_the_rest_as_it_is(db, admin):
    view = await users.create(db, admin, "bob", "bob@example.org", None, ["viewer"])
    changed = await users.change(db, admin, view.id, role_names=["operator"])
    assert (changed.email, changed.roles) == ("bob@example.org", ["operator"])


async def test_a_changed_address_stands_in_the_audit_trail(db, admin, viewer):
    await users.change(db, admin, viewer.id, email="new@example.org")
    detail = await db.fetchval(
        "SELECT detail FROM audit WHERE action = 'user.change' ORDER BY id DESC LIMIT 1"
    )
    assert detail == {"email": "new@example.org"}


async def test_two_people_never_share_an_e_mail_address(db, admin, viewer):
    await users.create(db, admin, "bob", "bob@example.org", None, [])
    with pytest.raises(Conflict, match="already a person with this e-mail address"):
        await users.create(db, admin, "eve", "bob@example.org", None, [])
    with pytest.raises(Conflict, match="already a person with this e-mail address"):
        await users.change(db, admin, viewer.id, email="bob@example.org")
    assert (await users.show(db, admin, viewer.id)).email is None


async def test_the_last_who_may_manage_people_stays(db, admin):
    with pytest.raises(Conflict, match="Nobody would be left"):
        await users.change(db, admin, admin.id, disabled=True)
    with pytest.raises(Conflict, match="Nobody would be left"):
        await users.change(db, admin, admin.id, role_names=["viewer"])
    assert (await users.show(db, admin, admin.id)).roles == ["admin"]


async def test_managing_people_takes_users_manage(db, admin, viewer):
    for act in (
        lambda: users.create(db, viewer, "eve", None, None, ["admin"]),
        lambda: users.change(db, viewer, viewer.id, role_names=["admin"]),
        lambda: users.listing(db, viewer),
        lambda: users.show(db, viewer, admin.id),
        lambda: roles.save(db, viewer, "mine", ["users.manage"]),
    ):
        with pytest.raises(NotPermitted):
            await act()
    assert (await users.show(db, viewer, viewer.id)).name == "vera"


async def test_an_unknown_role_creates_nobody(db, admin):
    with pytest.raises(Invalid, match="There is no role wizard"):
        await users.create(db, admin, "bob", None, None, ["wizard"])
    with pytest.raises(NotFound):
        await users.find(db, "bob")


async def test_every_change_of_people_is_audited(db, admin):
    view = await users.create(db, admin, "bob", None, PASSWORD, [])
    await users.change(db, admin, view.id, password=PASSWORD + "2")
    rows = await db.fetch("SELECT action, detail::text FROM audit WHERE subject_id = $1 ORDER BY id", view.id)
    assert [row["action"] for row in rows if row["action"] != "role.save"][-2:] == [
        "user.create",
        "user.change",
    ]
    assert PASSWORD not in str(rows)
    assert SYSTEM.name == "opsgate"
