"""Who is meant by an approver reference: `role:NAME`, `user:ID`, a user's name or e-mail address.

Only people who could vote are counted: not disabled, and holding `workflows.manage` now.
Changes nothing.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from definitions.errors import OpsgateError
from definitions.permissions import may
from store import users
from store.connection import Database, Tx
from store.names import normalise

VOTE = "workflows.manage"
"""The permission to respond to approvals."""

_MAY_VOTE = """u.disabled_at IS NULL AND EXISTS (
    SELECT 1 FROM user_roles ur JOIN roles r ON r.id = ur.role_id
    WHERE ur.user_id = u.id AND $1 = ANY (r.permissions))"""

_MAX_ID = 2**63 - 1


async def resolve(tx: Tx | Database, references: Iterable[str]) -> dict[str, frozenset[int]]:
    """The ids of the people each reference means; a reference nobody knows is left out.

    A role without anybody who may vote is known, and empty.
    """
    wanted = set(references)
    roles = {text: normalise(text[5:]) for text in wanted if text.startswith("role:")}
    people = {text: normalise(text.removeprefix("user:")) for text in wanted - roles.keys()}
    found: dict[str, frozenset[int]] = {}
    for rows, names in (
        (await _of_roles(tx, set(roles.values())), roles),
        (await _of_people(tx, set(people.values())), people),
    ):
        found |= {text: rows[name] for text, name in names.items() if name in rows}
    return found


async def _of_roles(tx: Tx | Database, names: Collection[str]) -> Mapping[str, frozenset[int]]:
    rows = await tx.fetch(
        f"""SELECT role.name, coalesce(array_agg(u.id) FILTER (WHERE {_MAY_VOTE}), '{{}}') AS ids
            FROM roles role
            LEFT JOIN user_roles member ON member.role_id = role.id
            LEFT JOIN users u ON u.id = member.user_id
            WHERE role.name = ANY ($2) GROUP BY role.name""",
        VOTE,
        list(names),
    )
    return {row["name"]: frozenset(row["ids"]) for row in rows}


async def _of_people(tx: Tx | Database, names: Collection[str]) -> Mapping[str, frozenset[int]]:
    """By id where it is a number, else by name, else by e-mail address; one that two people have, whose
    capitals alone differ, means neither."""
    numbers = [int(name) for name in names if name.isascii() and name.isdigit() and len(name) <= 19]
    ids = [number for number in numbers if number <= _MAX_ID]
    rows = await tx.fetch(
        f"""SELECT u.id, u.name, lower(u.email) AS email, {_MAY_VOTE} AS votes FROM users u
            WHERE u.id = ANY ($2) OR u.name = ANY ($3) OR lower(u.email) = ANY ($3)""",
        VOTE,
        ids,
        list(names),
    )
    addresses = Counter(row["email"] for row in rows)
    found: dict[str, frozenset[int]] = {}
    for key in ("email", "name", "id"):
        for row in rows:
            if str(row[key]) in names:
                shared = key == "email" and addresses[row["email"]] > 1
                found[str(row[key])] = frozenset({row["id"]} if row["votes"] and not shared else ())
    return found


def by_id(references: Iterable[str], found: Mapping[str, frozenset[int]]) -> list[str]:
    """The references that mean the same people whatever is changed of these: one that names a person is
    their id from now on, whoever has the name or the address later. A role is who holds it."""
    kept = {text for text in references if text.startswith("role:")}
    kept |= {
        f"user:{person}" for text in set(references) - kept for person in found.get(text, frozenset[int]())
    }
    return sorted(kept)


async def lost(tx: Tx | Database, references: Iterable[str] | None, user_ids: Iterable[int]) -> set[int]:
    """Those of some people whom the references do not mean any more: who lost a role, or may not vote.

    None: of a request that did not keep them, where nobody is known to be.
    """
    if references is None:
        return set()
    meant = frozenset[int]().union(*(await resolve(tx, references)).values())
    return set(user_ids) - meant


async def names(tx: Tx | Database, user_ids: Iterable[int]) -> dict[int, str]:
    """The names of some people, disabled ones too."""
    rows = await tx.fetch("SELECT id, name FROM users WHERE id = ANY ($1)", list(user_ids))
    return {row["id"]: row["name"] for row in rows}


async def why_not_vote(tx: Tx, user_id: int) -> str | None:
    """None if this person may vote at this moment, whatever their session says; else why not."""
    try:
        return may(await users.actor_of(tx, user_id), VOTE)
    except OpsgateError as error:  # not known, or disabled
        return error.message
