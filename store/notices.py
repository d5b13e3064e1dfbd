"""Notices: from what has happened to a delivery for each channel that wants to know, and its sending.

An event is an errand of the outbox, in the transaction of the fact. The active keeper makes it into
deliveries, one for each address whoever has named it, and sends what is due. A delivery is noted as tried
before it is sent and as sent after: where the answer was lost it is sent again, else never twice.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from definitions import notices
from definitions.notices import Event, Facts
from store import outbox, sealed_values
from store.askers import SET_GOING
from store.connection import Database, Row, Tx
from store.identities import IDENTITIES
from store.names import normalise
from store.outbox import Errand

LEASE = timedelta(minutes=2)
"""A try that was never heard of again is repeated after this; a try takes less."""

NEXT_TURN = timedelta(seconds=5)
"""Until one that there was no time for is taken again."""

OF_ONE_CHANNEL = 4
"""Deliveries of one channel that are tried side by side: a service that hangs takes no more places."""

MAX_ERROR = 200


async def tell(
    tx: Tx, event: Event, subject_id: int, not_before: datetime | None = None, *, job_id: int | None = None
) -> None:
    """Note, in the caller's transaction, that people are to be told; `job_id`: of which job, where one is
    the cause."""
    of_job = {} if job_id is None else {"job_id": job_id}
    await outbox.add(tx, "notice", {"event": event, "subject_id": subject_id, **of_job}, not_before)


async def asked(tx: Tx, request_id: int, approvers: Iterable[str], deadline: datetime | None) -> None:
    """A request for approval was opened: tell those asked, and remind them before the deadline."""
    roles = [normalise(name.removeprefix("role:")) for name in approvers if name.startswith("role:")]
    opened: datetime = await tx.fetchval(
        """UPDATE approval_requests SET asked_roles = ARRAY(SELECT id FROM roles WHERE name = ANY ($2))
           WHERE id = $1 RETURNING created_at""",
        request_id,
        roles,
    )
    await tell(tx, "approval.asked", request_id)
    if deadline is not None:
        await tell(tx, "approval.reminder", request_id, notices.remind_at(opened, deadline))


class Audience(NamedTuple):
    """What is said, and to whom."""

    facts: Facts
    people: list[int]
    roles: list[int]
    sees: str = "workflows.view"
    """The permission that shows them the page."""


async def expand(db: Database, errand: Errand, public_url: str) -> int:
    """Make an event into deliveries; returns how many: none when it is out of date. Repeatable.

    Nobody is told who could not see the page by now.
    """
    event: Event = errand.payload["event"]
    subject_id: int = errand.payload["subject_id"]
    async with db.transaction() as tx:
        found = await _audience(tx, event, subject_id, errand.payload.get("job_id"))
        made: list[Row] = []
        if found is not None:
            title, body = notices.text(event, found.facts, public_url)
            made = await tx.fetch(
                """INSERT INTO notice_deliveries (channel_id, event, mark, title, body)
                   SELECT c.id, $2, c.mark, $3, $4
                   FROM notice_channels c LEFT JOIN users u ON u.id = c.user_id
                   WHERE $1 = ANY (c.events) AND c.sealed_url IS NOT NULL
                     AND (c.role_id = ANY ($6) OR (c.user_id = ANY ($5) AND u.disabled_at IS NULL AND EXISTS (
                         SELECT 1 FROM user_roles ur JOIN roles r ON r.id = ur.role_id
                         WHERE ur.user_id = u.id AND $7 = ANY (r.permissions))))
                   ORDER BY c.id ON CONFLICT (event, mark) DO NOTHING RETURNING id""",
                event,
                f"{event}:{subject_id}#{errand.id}",
                title,
                body,
                found.people,
                found.roles,
                found.sees,
            )
        await outbox.done(tx, errand)
    return len(made)


async def _audience(tx: Tx, event: Event, subject_id: int, job_id: int | None) -> Audience | None:
    match event:
        case "instance.failed":
            return await _of_instance(tx, subject_id)
        case "identity.quarantined" | "identity.leaked":
            return await _of_identity(tx, event, subject_id, job_id)
        case _:
            return await _of_request(tx, event, subject_id)


async def _of_request(tx: Tx, event: Event, request_id: int) -> Audience | None:
    """Asked and reminded are those who have not voted; of the end everybody hears, and who has set it
    going."""
    row = await tx.fetchrow(
        f"""SELECT r.status, r.title, r.deadline, r.eligible, r.asked_roles, r.instance_id,
                  {SET_GOING} AS set_going, coalesce(w.name, '') AS workflow,
                  coalesce(nullif((SELECT count(DISTINCT host)
                      FROM json_array_elements(r.frozen -> 'ahead') step,
                           json_array_elements_text(step -> 'hosts') host), 0),
                      cardinality(i.host_ids), 0) AS hosts,
                  ARRAY(SELECT user_id FROM votes v WHERE v.request_id = r.id) AS voted
           FROM approval_requests r LEFT JOIN instances i ON i.id = r.instance_id
           LEFT JOIN workflows w ON w.id = i.workflow_id LEFT JOIN checkouts c ON c.id = r.checkout_id
           LEFT JOIN users u ON u.id = c.for_id WHERE r.id = $1""",
        request_id,
    )
    open_still = event in ("approval.asked", "approval.reminder")
    if row is None or (open_still and row["status"] != "pending"):
        return None
    more = {hand["person"] for hand in row["set_going"]} - {None}
    people = set(row["eligible"]) - set(row["voted"]) if open_still else {*row["eligible"], *more}
    facts = Facts(
        workflow=row["workflow"],
        instance_id=row["instance_id"],
        # Of an instance it is said who started it, of jobs alone who asks.
        started_by=row["set_going"][-1 if row["instance_id"] is None else 0]["name"],
        hosts=row["hosts"],
        title=row["title"],
        status=row["status"],
        deadline=row["deadline"],
        path=f"/approvals/{request_id}",
    )
    return Audience(facts, sorted(people), row["asked_roles"])


async def _of_instance(tx: Tx, instance_id: int) -> Audience | None:
    """Who started it, and the roles that may see workflows and want to know."""
    row = await tx.fetchrow(
        """SELECT w.name, i.started_by, i.started_by_name, cardinality(i.host_ids) AS hosts,
                  ARRAY(SELECT id FROM roles WHERE 'workflows.view' = ANY (permissions)) AS roles
           FROM instances i JOIN workflows w ON w.id = i.workflow_id WHERE i.id = $1""",
        instance_id,
    )
    if row is None:
        return None
    people = [row["started_by"]] if row["started_by"] is not None else []
    path = f"/instances/{instance_id}"
    facts = Facts(row["name"], instance_id, row["started_by_name"], row["hosts"], path=path)
    return Audience(facts, people, row["roles"])


async def _of_identity(tx: Tx, event: Event, identity_id: int, job_id: int | None) -> Audience | None:
    """Who looks after vaults, and the roles that do; nobody once a quarantine is lifted."""
    row = await tx.fetchrow(
        """SELECT i.name, i.version, i.quarantine_reason,
                  ARRAY(SELECT id FROM roles WHERE 'pam_vaults.manage' = ANY (permissions)) AS roles,
                  ARRAY(SELECT DISTINCT ur.user_id FROM user_roles ur JOIN roles r ON r.id = ur.role_id
                        WHERE 'pam_vaults.manage' = ANY (r.permissions)) AS people
           FROM identities i WHERE i.id = $1 AND (i.quarantined_at IS NOT NULL OR $2)""",
        identity_id,
        event == "identity.leaked",
    )
    if row is None:
        return None
    reason: str = row["quarantine_reason"] or ""
    if event == "identity.leaked":
        identity = await IDENTITIES.load_version(tx, identity_id, row["version"])
        reason = identity.why_not_rotated or "The identity names another account, or another place, by now."
    path = "/credentials/identities"
    facts = Facts("", None, "", 0, title=row["name"], path=path, reason=reason, job_id=job_id)
    return Audience(facts, row["people"], row["roles"], sees="pam_vaults.view")


class Parcel(NamedTuple):
    """A delivery to be tried now."""

    id: int
    tries: int
    """This one with them."""
    title: str
    body: str
    channel_id: int
    sealed_url: bytes

    def url(self, db: Database) -> str:
        """The address; raises `Unavailable`."""
        return sealed_values.of_channel(db.keys, self.channel_id, self.sealed_url)


async def give_back(db: Database, parcel: Parcel) -> None:
    """A try that was not begun is none; soon it is its turn again."""
    await db.execute(
        "UPDATE notice_deliveries SET attempts = attempts - 1, not_before = now() + $2 WHERE id = $1",
        parcel.id,
        NEXT_TURN,
    )


async def take_due(db: Database, limit: int = 50) -> list[Parcel]:
    """The deliveries that are due, some of each channel, noted as tried: nobody else tries them before LEASE
    is over."""
    rows = await db.fetch(
        """WITH due AS (
               SELECT id FROM notice_deliveries
               WHERE sent_at IS NULL AND dead_at IS NULL AND not_before <= now() AND id IN (
                   SELECT id FROM (
                       SELECT id, row_number() OVER (PARTITION BY channel_id ORDER BY not_before, id) AS turn
                       FROM notice_deliveries
                       WHERE sent_at IS NULL AND dead_at IS NULL AND not_before <= now()) queued
                   WHERE turn <= $3)
               ORDER BY not_before, id LIMIT $1 FOR UPDATE SKIP LOCKED)
           UPDATE notice_deliveries d SET attempts = attempts + 1, not_before = now() + $2
           FROM due, notice_channels c WHERE d.id = due.id AND c.id = d.channel_id
           RETURNING d.id, d.attempts, d.title, d.body, c.id, c.sealed_url""",
        limit,
        LEASE,
        OF_ONE_CHANNEL,
    )
    return [Parcel(*row) for row in rows]


async def note(db: Database, parcel: Parcel, error: str | None) -> None:
    """What came of a try. None: it was sent. Given up when it has failed often enough."""
    pause = notices.pause(parcel.tries)
    await db.execute(
        """UPDATE notice_deliveries SET last_error = $2,
               sent_at = CASE WHEN $2::text IS NULL THEN now() END,
               dead_at = CASE WHEN $2::text IS NOT NULL AND $3::interval IS NULL THEN now() END,
               not_before = now() + coalesce($3, interval '0')
           WHERE id = $1""",
        parcel.id,
        None if error is None else error[:MAX_ERROR],
        pause,
    )
