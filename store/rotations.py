"""Rotations: how an identity whose credential is due gets a new one, or is quarantined. Holds no secret.

One at a time for an identity, by a lock of the session that notes what came of it: who has lost the lock
notes nothing any more, and what was begun is gone on with by whoever comes next. An identity's turn comes
when nobody holds it, and nobody gets it before it is done. What is asked of vaults is `tasks.rotation`.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from definitions import rotation
from definitions.errors import Conflict, Unavailable
from definitions.identity import Identity
from definitions.lifecycles.job import ENDED
from definitions.permissions import SYSTEM, Actor, require
from definitions.vault import Vault
from store import audit, checkouts, identities, job_leaks, jobs, notices
from store.connection import Database, Row, Tx
from store.identities import IDENTITIES
from store.references import listed
from store.sealing import SealingKeys
from store.vaults import VAULTS

BATCH = 100

_JOB_GOES_ON = f"j.status IS NOT NULL AND NOT j.status = ANY ('{{{','.join(sorted(ENDED))}}}'::text[])"
_HELD = "EXISTS (SELECT FROM checkouts c WHERE c.identity_id = i.id AND c.status = 'active')"
_SAVED_ANEW = "i.quarantined_at IS NOT NULL AND i.version > i.rotation_failed_version"
"""What could not be done for it may be possible now, or need not be done any more."""
_DUE = f"""(i.rotation_due_at IS NOT NULL OR {_SAVED_ANEW}) AND i.rotation_not_before <= now()
    AND NOT ({_JOB_GOES_ON}) AND NOT {_HELD}"""
_FROM = """FROM identities i JOIN identity_versions v ON v.identity_id = i.id AND v.version = i.version
    LEFT JOIN jobs j ON j.id = i.rotation_job_id"""
_OVER = """rotation_due_at = NULL, rotation_reason = NULL, rotation_failures = 0, rotation_job_id = NULL,
    rotation_version = NULL, quarantined_at = NULL, quarantine_reason = NULL"""


@dataclass(frozen=True)
class ResetJob:
    """The job that sets the pending password on a host, once it has ended."""

    id: int
    status: str
    reason: str
    version: int
    """Of the vault's secret, in which that password is the pending one."""
    began: bool
    """The host may have that password, however the job has ended."""


@dataclass(frozen=True)
class Turn:
    """An identity to be rotated now, and the session that has its lock."""

    session: Tx
    identity_id: int
    version: int
    identity: Identity
    """At that version."""
    vault: Vault
    why: str
    failures: int
    quarantined: bool
    job: ResetJob | None


class Asked(NamedTuple):
    """What a person has asked for."""

    identity_id: int
    name: str
    at: datetime
    alone: bool
    """Nothing else wants the identity rotated."""


class Standing(BaseModel):
    """How it stands with the rotation of an identity."""

    model_config = ConfigDict(frozen=True)

    due: bool
    job_id: int | None
    failures: int
    error: str
    quarantined: bool
    rotated_at: datetime | None
    failed_at: datetime | None


async def due(db: Database, besides: Collection[int] = ()) -> dict[int, str]:
    """The identities whose turn has come, besides those, and the names of their vaults."""
    rows = await db.fetch(
        f"""SELECT i.id, v.definition ->> 'vault' AS vault {_FROM} WHERE {_DUE} AND NOT i.id = ANY ($1)
            ORDER BY i.rotation_not_before LIMIT {BATCH}""",
        list(besides),
    )
    return {row["id"]: row["vault"] for row in rows}


async def is_due(db: Database, identity_id: int) -> bool:
    """Whether the identity's turn has come."""
    found: bool = await db.fetchval(f"SELECT EXISTS (SELECT {_FROM} WHERE i.id = $1 AND {_DUE})", identity_id)
    return found


@asynccontextmanager
async def turn(db: Database, identity_id: int) -> AsyncIterator[Turn | None]:
    """The identity's turn, for as long as the block lasts; None if it has not come, or somebody has it."""
    async with db.apart() as session:
        lock = "SELECT pg_try_advisory_lock(hashtextextended('rotation ' || $1::bigint, 0))"
        mine = await session.fetchval(lock, identity_id)
        yield await _begin(session, identity_id) if mine else None


async def _begin(session: Tx, identity_id: int) -> Turn | None:
    row = await session.fetchrow(
        f"""SELECT i.id, i.version, i.rotation_reason, i.rotation_failures, i.rotation_version,
                   i.quarantined_at, j.id AS job_id, j.status, j.reason,
                   j.started_at IS NOT NULL OR j.attempt > 1 AS began {_FROM} WHERE i.id = $1 AND {_DUE}""",
        identity_id,
    )
    if row is None:
        return None
    identity = await IDENTITIES.load_version(session, identity_id, row["version"])
    vault = await VAULTS.find(session, identity.vault)
    return Turn(
        session,
        identity_id,
        row["version"],
        identity,
        await VAULTS.load_version(session, vault["id"], vault["version"]),
        row["rotation_reason"] or "",
        row["rotation_failures"],
        row["quarantined_at"] is not None,
        _job(row),
    )


def _job(row: Row) -> ResetJob | None:
    if row["job_id"] is None:
        return None
    return ResetJob(row["job_id"], row["status"], row["reason"], row["rotation_version"], row["began"])


async def dispatch(turn: Turn, keys: SealingKeys | None, version: int, password: str) -> int:
    """Have the host set the password that is the pending one of this version; the job. The password goes
    sealed. `Invalid`: the host is gone, or it takes no such account or password; `Unavailable`: the identity
    names another account by now."""
    payload = {"action": "reset_password", "user": turn.identity.username}
    hosts, secret = [str(turn.identity.host)], {"password": password}
    async with turn.session.transaction():
        (job_id,) = await jobs.dispatch_in(
            turn.session, keys, SYSTEM, "user_control", hosts, payload, secrets=secret
        )
        await _refuse_if_moved(turn)
        # A job before this one may have reached the host: that counts as a try, and is not forgotten.
        await turn.session.execute(
            """UPDATE identities SET rotation_job_id = $2, rotation_version = $3,
                   rotation_failures = greatest(rotation_failures, (rotation_version IS NOT NULL)::int)
               WHERE id = $1""",
            turn.identity_id,
            job_id,
            version,
        )
    return job_id


async def _refuse_if_moved(turn: Turn) -> None:
    """Refuse to note of the account it names now what was done for another. Its row is locked then."""
    version = await _lock(turn)
    moved = (await IDENTITIES.load_version(turn.session, turn.identity_id, version)).moved_from(turn.identity)
    if moved:
        fields = listed([f"`{name}`" for name in moved])
        raise Unavailable(f"{turn.identity.name} has another {fields} than when its rotation began.")


async def _lock(turn: Turn) -> int:
    """Its newest version, which stays that until the end of the transaction."""
    version: int = await turn.session.fetchval(
        "SELECT version FROM identities WHERE id = $1 FOR UPDATE", turn.identity_id
    )
    return version


async def done(turn: Turn) -> None:
    """It has a new credential: it is in no quarantine any more, and whoever waits for it gets it.
    `Unavailable`: it names another account by now."""
    async with turn.session.transaction():
        await _refuse_if_moved(turn)
        await job_leaks.tell_unreplaced(turn.session, turn.identity_id, replaced=turn.identity)
        await turn.session.execute(
            f"""UPDATE identities SET rotated_at = clock_timestamp(), rotation_error = '', {_OVER}
                WHERE id = $1""",
            turn.identity_id,
        )
        await _note(turn, "rotate", why=turn.why)
        await checkouts.let_in(turn.session, turn.identity_id)


async def let_go(turn: Turn, why: str) -> None:
    """It is none any more that Opsgate rotates: it is neither due nor in quarantine, and whoever waits for it
    gets it; what jobs have printed of it stays in force, and is told. `Unavailable`: it has changed once
    more."""
    async with turn.session.transaction():
        await _refuse_if_moved(turn)
        await job_leaks.tell_unreplaced(turn.session, turn.identity_id)
        await turn.session.execute(
            f"UPDATE identities SET rotation_error = '', {_OVER} WHERE id = $1", turn.identity_id
        )
        await _note(turn, "quarantine_lifted" if turn.quarantined else "rotation_called_off", why=why)
        await checkouts.let_in(turn.session, turn.identity_id)


async def failed(turn: Turn, error: str, *, anew: bool = True) -> None:
    """It has none: it is tried again after a pause, or, often enough, quarantined. What was pending stays
    pending in the vault, and that a host may have it is kept. `anew`: by another job; the one that failed
    can't be retried by hand, for it would set the password much later."""
    failures = turn.failures + 1
    untouched = anew and turn.job is not None and not turn.job.began and turn.failures == 0
    async with turn.session.transaction():
        if turn.job is not None and anew:
            await turn.session.execute("UPDATE jobs SET sealed_values = NULL WHERE id = $1", turn.job.id)
        pause = None if turn.quarantined else rotation.pause(failures)
        if await _lock(turn) != turn.version:  # what failed was as it is not any more
            pause = timedelta()
        await turn.session.execute(
            """UPDATE identities SET rotation_failures = $2, rotation_error = $3,
                   rotation_failed_at = clock_timestamp(), rotation_failed_version = $7,
                   rotation_not_before = now() + coalesce($4, interval '0'),
                   rotation_job_id = CASE WHEN $5 THEN NULL ELSE rotation_job_id END,
                   rotation_version = CASE WHEN $6 THEN NULL ELSE rotation_version END,
                   rotation_due_at = CASE WHEN $4::interval IS NOT NULL
                                          THEN coalesce(rotation_due_at, clock_timestamp()) END,
                   rotation_reason = CASE WHEN $4::interval IS NOT NULL THEN rotation_reason END
               WHERE id = $1""",
            turn.identity_id,
            failures,
            error,
            pause,
            anew,
            untouched,
            turn.version,
        )
        await _note(turn, "rotate_failed", why=error, failures=failures)
        if pause is None:
            await _quarantine(turn, error)


async def _quarantine(turn: Turn, error: str) -> None:
    await turn.session.execute(
        """UPDATE identities SET quarantined_at = coalesce(quarantined_at, clock_timestamp()),
               quarantine_reason = $2 WHERE id = $1""",
        turn.identity_id,
        error,
    )
    if turn.quarantined:
        return
    await _note(turn, "quarantine", why=error)
    await notices.tell(turn.session, "identity.quarantined", turn.identity_id)
    words = await identities.why_quarantined(turn.session, turn.identity_id)
    await checkouts.refuse_waiting(turn.session, turn.identity_id, str(words))


async def ask(db: Database, actor: Actor, ref: int | str) -> Asked:
    """A person wants it rotated now. `Conflict` while somebody has it checked out, or where Opsgate can't
    have it rotated."""
    require(actor, IDENTITIES.changes)
    async with db.transaction() as tx:
        row = await IDENTITIES.find(tx, ref, lock=True)
        identity = await IDENTITIES.load_version(tx, row["id"], row["version"])
        if identity.why_not_rotated is not None:
            raise Conflict(f"{row['name']} can't be rotated: {identity.why_not_rotated}")
        held = await tx.fetchval(
            "SELECT count(*) FROM checkouts WHERE identity_id = $1 AND status = 'active'", row["id"]
        )
        if held:
            raise Conflict(f"{row['name']} is checked out ({held}): end that first, or wait for it.")
        was_due = await tx.fetchval(
            "SELECT rotation_due_at IS NOT NULL FROM identities WHERE id = $1", row["id"]
        )
        await audit.record(
            tx, actor, "identity.rotation_asked", "identity", row["id"], name=row["name"], was_due=was_due
        )
        await identities.mark_for_rotation(tx, row["id"], f"{actor.name} asked for it.", actor)
        now: datetime = await tx.fetchval(
            """UPDATE identities SET rotation_not_before = now(), rotation_failures = 0
               WHERE id = $1 RETURNING clock_timestamp()""",
            row["id"],
        )
    return Asked(row["id"], row["name"], now, not was_due)


async def standing(db: Database, identity_id: int) -> Standing:
    """How it stands."""
    row = await db.fetchrow(
        """SELECT rotation_due_at IS NOT NULL AS due, rotation_job_id AS job_id,
                  rotation_failures AS failures, rotation_error AS error,
                  quarantined_at IS NOT NULL AS quarantined, rotated_at, rotation_failed_at AS failed_at
           FROM identities WHERE id = $1""",
        identity_id,
    )
    assert row is not None
    return Standing(**row)


async def call_off(db: Database, asked: Asked) -> bool:
    """What only a person has asked for, and failed before a host could have a new password, is not tried
    again: says whether it was so. Otherwise asking for what a vault never does would end in a quarantine."""
    async with db.transaction() as tx:
        await tx.execute("SELECT FROM identities WHERE id = $1 FOR UPDATE", asked.identity_id)
        if await job_leaks.untold(tx, asked.identity_id):  # an agent has told that meanwhile
            return False
        row = await tx.fetchrow(
            f"""UPDATE identities SET {_OVER}
               WHERE id = $1 AND $2 AND rotation_due_at IS NOT NULL AND rotation_failures = 1
                 AND rotation_version IS NULL AND quarantined_at IS NULL RETURNING rotation_error""",
            asked.identity_id,
            asked.alone,
        )
        if row is not None:
            detail = {"name": asked.name, "why": row["rotation_error"]}
            await audit.record(
                tx, SYSTEM, "identity.rotation_called_off", "identity", asked.identity_id, **detail
            )
            await checkouts.let_in(tx, asked.identity_id)
    return row is not None


async def _note(turn: Turn, what: str, **more: str | int) -> None:
    detail = {"name": turn.identity.name, **more}
    await audit.record(turn.session, SYSTEM, f"identity.{what}", "identity", turn.identity_id, **detail)
