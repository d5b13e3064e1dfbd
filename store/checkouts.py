"""Checkouts: an instance, or jobs of none, may run as an identity, from a moment on and until another.

Holds who, why and which identity at which version, never a secret. Every change locks the identity's
row: so an exclusive one is given to nobody while it is held, and its queue moves in order. Whether it is
exclusive, its newest version says to who comes in; who has got it alone keeps it so. A checkout ends by a
step, a person, its time, or with its instance or its jobs (`store.job_checkouts`), whichever comes first;
whatever waits for its turn comes in then, or when the credential has been replaced if it is to be.

Locks are taken, everywhere, in the order instance, job, request, identity, checkout, and identities in that
of their ids; so an instance or job whose checkout somebody else has changed hears of it afterwards, by
`tell`. What stops work of an instance, or ends it, is the exception: it locks identities before requests
(`instance_cancel.stop_work`), and before jobs where it ends (`engine.commits`). It has the instance's lock;
the jobs and requests are the instance's own, and whoever locks one of them and then an identity or a checkout
has locked the instance before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from definitions.errors import Conflict, NotPermitted
from definitions.identity import Identity
from definitions.lifecycles.approval import ApprovalStatus
from definitions.lifecycles.checkout import ENDED, CheckoutStatus
from definitions.permissions import SYSTEM, Actor, require
from definitions.storable import storable
from store import askers, audit, channels, identities, references, visits
from store.askers import Asker
from store.connection import Database, Row, Tx
from store.identities import IDENTITIES
from store.visits import Visits
from store.wakes import wake_instance

MANAGE = "pam_vaults.manage"
TIME_OVER = "Its time is over."
BATCH = 500
_ASKED_AGAIN = """NOT EXISTS (SELECT FROM step_results s WHERE s.instance_id = c.instance_id
                             AND s.step_id = c.step_id AND s.visit = c.visit)"""
"""It was asked for when its instance was resumed, in a visit that the step itself did not have."""


@dataclass(frozen=True)
class Wanted:
    """What a step asks for; with no instance, step and visit: what a person does for jobs alone."""

    instance_id: int | None
    step_id: str | None
    visit: int | None
    identity: int | str
    variable_name: str | None = None
    reason: str = ""
    minutes: int | None = None
    """None, or more than the identity allows: as long as it allows."""
    asker: Asker | None = None
    """In whose name, where no instance says."""


@dataclass(frozen=True)
class Requested:
    """A checkout, and whether the identity takes an approval before it becomes active."""

    id: int
    status: CheckoutStatus
    identity: Identity
    version: int
    """Of the identity."""
    minutes: int
    """How long it may last."""
    needs_approval: bool
    asker: Asker
    """In whose name it was asked for."""


async def request(tx: Tx, wanted: Wanted) -> Requested:
    """Ask for an identity in the name of a person, of whoever the instance asks for if there is one; or
    find what the visit has asked for already. Active at once if it needs no approval and nobody else
    holds it. The caller holds the instance's lock. `NotPermitted`: it is not for that person."""
    asker = wanted.asker or await askers.of_instance(tx, wanted.instance_id)
    row = await IDENTITIES.find(tx, wanted.identity, lock=True)
    known = await tx.fetchrow(
        """SELECT id, status, identity_version, ready, minutes FROM checkouts
           WHERE instance_id = $1 AND step_id = $2 AND visit = $3""",
        wanted.instance_id,
        wanted.step_id,
        wanted.visit,
    )
    if known is not None:
        version = known["identity_version"]
        identity = await IDENTITIES.load_version(tx, row["id"], version)
        status = CheckoutStatus(known["status"])
        return Requested(known["id"], status, identity, version, known["minutes"], not known["ready"], asker)
    identity = await _offered(tx, row, asker.person)
    if identity.exclusive:
        await _refuse_to_wait_for_itself(tx, row, wanted)
    minutes = min(wanted.minutes or identity.max_checkout_minutes, identity.max_checkout_minutes)
    checkout_id: int = await tx.fetchval(
        """INSERT INTO checkouts (identity_id, identity_version, exclusive, ready, instance_id, step_id,
               visit, variable_name, reason, minutes, for_id)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id""",
        row["id"],
        row["version"],
        identity.exclusive,
        not identity.requires_approval,
        wanted.instance_id,
        wanted.step_id,
        wanted.visit,
        wanted.variable_name,
        storable(wanted.reason)[:2000],
        minutes,
        asker.person,
    )
    await _note(tx, SYSTEM, "request", checkout_id)
    await let_in(tx, row["id"])
    # Whoever asks is told here: there is no news in it.
    status = CheckoutStatus(
        await tx.fetchval("UPDATE checkouts SET news = false WHERE id = $1 RETURNING status", checkout_id)
    )
    return Requested(
        checkout_id, status, identity, row["version"], minutes, identity.requires_approval, asker
    )


async def _refuse_to_wait_for_itself(tx: Tx, identity: Row, wanted: Wanted) -> None:
    """`Conflict` when another step of the instance has the exclusive identity or waits for it: the proof
    refuses that, but its definition may be older, or the identity exclusive only since."""
    other = await tx.fetchrow(
        """SELECT step_id, status FROM checkouts WHERE identity_id = $1 AND instance_id = $2 AND step_id <> $3
             AND status IN ('requested', 'active') ORDER BY status, id LIMIT 1""",
        identity["id"],
        wanted.instance_id,
        wanted.step_id,
    )
    if other is not None:
        does = "holds it" if other["status"] == CheckoutStatus.ACTIVE else "waits for it"
        raise Conflict(
            f"{identity['name']} is exclusive, and step {other['step_id']} of the same instance {does} "
            "already: it would wait for itself. Check it in first."
        )


async def offered(tx: Tx, ref: int | str, person: int | None) -> Identity:
    """The identity as it is now, if it may be checked out in the name of that person; raises like `request`,
    asks for nothing."""
    return await _offered(tx, await IDENTITIES.find(tx, ref), person)


async def _offered(tx: Tx, row: Row, person: int | None) -> Identity:
    if row["archived_at"] is not None:
        raise Conflict(f"The identity {row['name']} is archived.")
    quarantine = await identities.why_quarantined(tx, row["id"])
    if quarantine is not None:
        raise Conflict(quarantine)
    identity = await IDENTITIES.load_version(tx, row["id"], row["version"])
    await _refuse_strangers(tx, identity, person)
    return identity


async def _refuse_strangers(tx: Tx, identity: Identity, person: int | None) -> None:
    if person is None:
        refusal: str | None = f"Nobody is known to have asked for whom {identity.name} is."
        refusal = refusal if identity.used_by else None
    else:
        refusal = await identities.why_not_use(tx, identity, person)
    if refusal is not None:
        raise NotPermitted(refusal)


async def approve(tx: Tx, checkout_id: int) -> None:
    """Its approval was given: it is active as soon as it is its turn."""
    row = await _lock(tx, checkout_id)
    if row["status"] == CheckoutStatus.REQUESTED:
        await tx.execute("UPDATE checkouts SET ready = true WHERE id = $1", checkout_id)
        await let_in(tx, row["identity_id"])


async def refuse(tx: Tx, checkout_id: int, status: CheckoutStatus, reason: str) -> None:
    """Its approval was denied (`DENIED`), or the identity was quarantined (`FAILED`)."""
    row = await _lock(tx, checkout_id)
    if row["status"] == CheckoutStatus.REQUESTED:
        await _end(tx, SYSTEM, row, status, reason)


async def decided(tx: Tx, checkout_id: int, status: ApprovalStatus, reason: str, actor: Actor) -> None:
    """What became of the request for its approval."""
    if status == ApprovalStatus.APPROVED:
        await approve(tx, checkout_id)
    elif status == ApprovalStatus.WITHDRAWN:
        await check_in(tx, actor, checkout_id, reason)
    else:
        await refuse(tx, checkout_id, CheckoutStatus.DENIED, reason)


async def check_in(tx: Tx, actor: Actor, checkout_id: int, reason: str) -> bool:
    """End one, if it has not ended; says whether it had not."""
    row = await _lock(tx, checkout_id)
    if row["status"] in ENDED:
        return False
    await _end(tx, actor, row, CheckoutStatus.ENDED, reason)
    return True


async def end_by_hand(db: Database, actor: Actor, checkout_id: int) -> None:
    """A person ends a checkout, whatever its workflow does."""
    require(actor, MANAGE)
    async with db.transaction() as tx:
        if not await check_in(tx, actor, checkout_id, f"Ended by {actor.name}."):
            raise Conflict(f"Checkout {checkout_id} has ended already.")


async def end_of_instance(tx: Tx, instance_id: int, reason: str) -> int:
    """Check in whatever an instance that ends still holds or asks for; returns how many. The caller holds
    the instance's lock."""
    return len(await _end_some(tx, instance_id, reason, "status IN ('requested', 'active')"))


async def end_waiting(tx: Tx, instance_id: int, reason: str, steps: Visits | None = None) -> int:
    """End what an instance still asks for, or some visits of its steps do; returns how many. The caller holds
    the instance's lock."""
    condition = f"status = 'requested' AND {visits.OF_VISITS}"
    return len(await _end_some(tx, instance_id, reason, condition, *visits.columns(steps)))


async def held_at_end(tx: Tx, instance_id: int) -> list[Row]:
    """The newest checkout of each step that an instance held when it ended, or until the checkout's time was
    over; or had asked for again, and was not given. None that a person or a check-in has ended. The caller
    holds the instance's lock."""
    return await tx.fetch(
        f"""SELECT c.step_id, c.identity_id, d.name AS identity, c.variable_name, c.reason, c.minutes,
                   coalesce((v.definition ->> 'exclusive')::bool, false) AS exclusive
            FROM checkouts c JOIN instances i ON i.id = c.instance_id
            JOIN identities d ON d.id = c.identity_id
            JOIN identity_versions v ON v.identity_id = d.id AND v.version = d.version
            WHERE c.instance_id = $1
              AND CASE WHEN c.active_at IS NULL THEN {_ASKED_AGAIN}
                  ELSE c.ended_at = i.ended_at OR c.end_reason = $2 END
              AND NOT EXISTS (SELECT FROM checkouts n WHERE n.instance_id = c.instance_id
                              AND n.step_id = c.step_id AND n.visit > c.visit)
              AND NOT EXISTS (SELECT FROM step_results s WHERE s.instance_id = c.instance_id
                              AND s.kind = 'pam_checkin' AND s.started_at > c.created_at
                              AND (json_array_length(s.input -> 'checkout') = 0
                                   OR (s.input -> 'checkout')::jsonb ? c.step_id))
            ORDER BY c.id""",
        instance_id,
        TIME_OVER,
    )


async def end_of_steps(tx: Tx, instance_id: int, reason: str, steps: Sequence[str]) -> list[str]:
    """Check in what those steps of an instance have checked out, none named: all it holds; the names of the
    identities. What it asked for again when it was resumed, and has not got, is waited for no more; what a
    step waits for itself stays. The caller holds the instance's lock."""
    condition = f"""(c.status = 'active' OR c.status = 'requested' AND {_ASKED_AGAIN})
                    AND (cardinality($2::text[]) = 0 OR c.step_id = ANY ($2))"""
    return await _end_some(tx, instance_id, reason, condition, list(steps))


async def _end_some(tx: Tx, instance_id: int, reason: str, condition: str, *args: object) -> list[str]:
    """In the order in which everybody takes the identities' locks."""
    rows = await tx.fetch(
        f"""SELECT c.id, i.name FROM checkouts c JOIN identities i ON i.id = c.identity_id
            WHERE c.instance_id = $1 AND {condition} ORDER BY c.identity_id, c.id""",
        instance_id,
        *args,
    )
    return [row["name"] for row in rows if await check_in(tx, SYSTEM, row["id"], reason)]


async def end_overdue(db: Database) -> int:
    """Check in what has been out for as long as it may; returns how many. Called by the keeper."""
    rows = await db.fetch(
        f"SELECT id FROM checkouts WHERE status = 'active' AND deadline <= now() ORDER BY id LIMIT {BATCH}"
    )
    ended = 0
    for row in rows:
        async with db.transaction() as tx:
            ended += await check_in(tx, SYSTEM, row["id"], TIME_OVER)
    return ended


async def tell(db: Database) -> int:
    """Wake the instances, if a step may wait for that, and ring for the jobs, whose checkouts have changed;
    returns how many changes. Called by the keeper."""
    rows = await db.fetch(
        f"""SELECT c.id, c.instance_id,
                   i.ended_at IS NULL AND (c.ended_at IS NULL OR c.active_at IS NULL) AS waited_for
            FROM checkouts c LEFT JOIN instances i ON i.id = c.instance_id
            WHERE c.news ORDER BY c.id LIMIT {BATCH}"""
    )
    for row in rows:
        async with db.transaction() as tx:
            if row["instance_id"] is not None and row["waited_for"]:
                await wake_instance(tx, row["instance_id"])
            await tx.execute(
                f"""SELECT pg_notify('{channels.JOBS}', host_id::text), {channels.telling("job", "id")}
                    FROM jobs WHERE checkout_id = $1 AND status = 'queued'""",
                row["id"],
            )
            await tx.execute("UPDATE checkouts SET news = false WHERE id = $1", row["id"])
    return len(rows)


async def _lock(tx: Tx, checkout_id: int) -> Row:
    """The checkout, with its identity's row locked."""
    identity = await tx.fetchval("SELECT identity_id FROM checkouts WHERE id = $1", checkout_id)
    if identity is None:
        raise references.missing("checkout", checkout_id)
    await tx.execute("SELECT FROM identities WHERE id = $1 FOR UPDATE", identity)
    row = await tx.fetchrow("SELECT * FROM checkouts WHERE id = $1", checkout_id)
    assert row is not None
    return row


async def _end(tx: Tx, actor: Actor, row: Row, status: CheckoutStatus, reason: str) -> None:
    await tx.execute(
        "UPDATE checkouts SET status = $2, ended_at = now(), end_reason = $3, news = true WHERE id = $1",
        row["id"],
        status,
        reason,
    )
    await _note(tx, actor, status, row["id"], reason=reason)
    if row["status"] == CheckoutStatus.ACTIVE and (await _newest(tx, row["identity_id"])).rotate_after_use:
        await identities.mark_for_rotation(tx, row["identity_id"], f"It was used by checkout {row['id']}.")
    await let_in(tx, row["identity_id"])


async def _newest(tx: Tx, identity_id: int) -> Identity:
    """The identity as it is now, whatever it was when it was asked for."""
    version = await tx.fetchval("SELECT version FROM identities WHERE id = $1", identity_id)
    return await IDENTITIES.load_version(tx, identity_id, version)


async def refuse_waiting(tx: Tx, identity_id: int, reason: str) -> None:
    """Refuse whatever waits for an identity, whose row the caller has locked: it will not be its turn."""
    rows = await tx.fetch(
        "SELECT id FROM checkouts WHERE identity_id = $1 AND status = 'requested' ORDER BY id", identity_id
    )
    for row in rows:
        await refuse(tx, row["id"], CheckoutStatus.FAILED, reason)


async def let_in(tx: Tx, identity_id: int) -> None:
    """Make active what waits for its turn alone: all of it, of an exclusive identity the first when nobody
    holds it; none while the credential is to be replaced, or somebody holds it who has got it alone. The
    caller has locked the identity's row."""
    rows = await tx.fetch(
        """UPDATE checkouts c SET status = 'active', active_at = now(), news = true, exclusive = $2,
                  deadline = now() + minutes * interval '1 minute'
           WHERE identity_id = $1 AND status = 'requested' AND ready
             AND EXISTS (SELECT FROM identities i WHERE i.id = $1
                         AND i.rotation_due_at IS NULL AND i.quarantined_at IS NULL)
             AND NOT EXISTS (SELECT FROM checkouts h WHERE h.identity_id = $1 AND h.status = 'active'
                             AND ($2 OR h.exclusive))
             AND (NOT $2 OR id = (SELECT min(f.id) FROM checkouts f
                                  WHERE f.identity_id = $1 AND f.status = 'requested' AND f.ready))
           RETURNING id""",
        identity_id,
        (await _newest(tx, identity_id)).exclusive,
    )
    for row in rows:
        await _note(tx, SYSTEM, "active", row["id"])


async def _note(tx: Tx, actor: Actor, what: str, checkout_id: int, **more: str) -> None:
    """Who, why, which identity, for which instance and person."""
    row = await tx.fetchrow(
        """SELECT i.name AS identity, c.identity_version, c.instance_id, c.step_id, c.reason AS asked_because,
                  u.name AS person
           FROM checkouts c JOIN identities i ON i.id = c.identity_id LEFT JOIN users u ON u.id = c.for_id
           WHERE c.id = $1""",
        checkout_id,
    )
    assert row is not None
    await audit.record(tx, actor, f"checkout.{what}", "checkout", checkout_id, **{**row, **more})
