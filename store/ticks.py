"""Firing: every due tick of a recurring job gets its one row in the ledger, and what runs its children.

One transaction under the template's lock: rows, children, counter, next run, audit. So it does not matter
who fires, how often, or how many at once: Prefect's scheduler, the keeper, a person.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice, takewhile
from typing import NamedTuple
from uuid import UUID

from definitions import due_ticks
from definitions.due_ticks import Answer, Answers, Standing, answer, limit_of
from definitions.errors import Conflict, NotFound, OpsgateError
from definitions.permissions import SYSTEM, Actor
from definitions.recurrence import Instant, next_tick
from definitions.recurrence import ticks as ticks_of
from definitions.recurring_job import RecurringJob
from store import audit, channels, recurring_content, recurring_rows, users
from store.connection import Database, Row, Tx
from store.wakes import notify

BATCH = 1000
"""Most ticks that one call answers while more are due behind them."""

_NEWEST = 1500
"""More than `catch_up_limit` and the hours a clock repeats: of what has as many behind it, none is made up
for."""


class Fired(NamedTuple):
    """What a call did."""

    answered: int
    """Rows it wrote."""
    ran: int
    more: bool
    """Whether more are due: call again."""


class ByHand(NamedTuple):
    """The tick that somebody asked for."""

    id: int
    outcome: str
    reason: str


async def fire_due(db: Database, recurring_job_id: int, now: datetime | None = None) -> Fired:
    """Answer what is due of a template. `now`: the database's clock, unless a test has its own."""
    async with db.transaction() as tx:
        try:
            row = await recurring_rows.find(tx, recurring_job_id, lock=True)
        except NotFound:
            return Fired(0, 0, False)
        if row["next_run_at"] is None:  # disabled, stopped or archived
            return Fired(0, 0, False)
        now = now or await recurring_rows.clock(tx)
        wanted = recurring_rows.definition_of(row)
        due, more = _due(row, wanted, now)
        if not due:
            return Fired(0, 0, False)
        stands = await recurring_rows.standing(tx, row, wanted)
        if more:
            stands = replace(stands, catch_up="skip")
        answers, ran, written = await _carry_out(db, tx, row, wanted, due, stands, now)
        reached = due[-1].at if more else now
        await _move_on(
            tx, row, wanted, replace(stands, recurrences=stands.recurrences + ran), answers, reached
        )
        detail = {"name": row["name"], "ran": ran, "left_out": written - ran}
        await audit.record(tx, SYSTEM, "recurring_job.tick", "recurring_job", row["id"], **detail)
        return Fired(written, ran, more)


async def fire_by_hand(
    db: Database, actor: Actor | None, ref: int | str, flow_run_id: UUID | None = None
) -> ByHand:
    """A tick of kind manual, whatever schedule and limits say; one that would overlap is left out.

    `actor` None: started in Prefect, where nobody is known. It has the owner's rights, and what is refused is
    a tick left out; the same flow run again is the same tick.
    """
    async with db.transaction() as tx:
        row = await recurring_rows.find(tx, ref, lock=True)
        wanted = recurring_rows.definition_of(row)
        if actor is not None:
            recurring_content.require_rights(actor, wanted)
        before = await tx.fetchrow(
            "SELECT id, outcome, reason FROM ticks WHERE flow_run_id = $1", flow_run_id
        )
        if before is not None:
            return ByHand(*before)
        if row["archived_at"] is not None:
            raise Conflict(f"The recurring job {row['name']!r} is archived.")
        now, who = await recurring_rows.clock(tx), actor.name if actor is not None else "Prefect"
        stands = await recurring_rows.standing(tx, row, wanted)
        made = Answer(now, "ran", f"Started by {who}.")
        if stands.busy and stands.overlap == "skip":
            made = Answer(now, "skipped", due_ticks.BUSY)
        try:
            async with tx.transaction():
                (tick,) = await _write(tx, row["id"], [made], "manual", who, flow_run_id)
                if made.outcome == "ran":
                    by = actor or await users.actor_of(tx, row["owner_id"])
                    await _dispatch(db, tx, by, row, wanted, tick["id"])
        except OpsgateError as refusal:
            if actor is not None:
                raise
            made = Answer(now, "skipped", _refused(refusal))
            (tick,) = await _write(tx, row["id"], [made], "manual", who, flow_run_id)
        detail = {"name": row["name"], "tick": tick["id"], "outcome": made.outcome}
        await audit.record(tx, actor or SYSTEM, "recurring_job.run", "recurring_job", row["id"], **detail)
        await notify(tx, channels.EVENTS, f"recurring_job:{row['id']}")
        return ByHand(tick["id"], made.outcome, made.reason)


async def leave_out_due(tx: Tx, row: Row, why: str) -> None:
    """Before a locked template changes: what is due and not answered yet never runs, and the ledger says so.

    Nobody who disables a template after an outage wants to see it catch up at that moment.
    """
    if row["next_run_at"] is None:
        return
    now, wanted = await recurring_rows.clock(tx), recurring_rows.definition_of(row)
    since = row["answered_until"]
    schedule = recurring_rows.schedule(wanted)
    while due := list(islice(takewhile(lambda each: each.at <= now, ticks_of(*schedule, since)), BATCH)):
        await _write(tx, row["id"], [Answer(each.at, "skipped", why) for each in due], "cron")
        since = due[-1].at


def _due(row: Row, wanted: RecurringJob, now: datetime) -> tuple[list[Instant], bool]:
    """The instants to answer now, and whether there are more."""
    instants = ticks_of(*recurring_rows.schedule(wanted), row["answered_until"])
    most = BATCH + _NEWEST
    due = list(islice(takewhile(lambda each: each.at <= now, instants), most + 1))
    return (due[:BATCH], True) if len(due) > most else (due, False)


async def _carry_out(
    db: Database,
    tx: Tx,
    row: Row,
    wanted: RecurringJob,
    due: Sequence[Instant],
    stands: Standing,
    now: datetime,
) -> tuple[Answers, int, int]:
    """Write the answers and make the children; if these are refused, every tick is left out and says so."""
    answers = answer(due, stands, now)
    try:
        async with tx.transaction():
            written = await _write(tx, row["id"], answers.answers, "cron")
            ran = [each["id"] for each in written if each["outcome"] == "ran"]
            if ran:
                owner = await users.actor_of(tx, row["owner_id"])
                for tick_id in ran:
                    await _dispatch(db, tx, owner, row, wanted, tick_id)
        return answers, len(ran), len(written)
    except OpsgateError as refusal:
        # Nothing runs, so nothing is counted and nothing overlaps.
        answers = answer(due, replace(stands, max_recurrences=None, overlap="allow"), now)
        why = _refused(refusal)
        kept = tuple(
            replace(each, outcome="skipped", reason=why) if each.outcome == "ran" else each
            for each in answers.answers
        )
        written = await _write(tx, row["id"], kept, "cron")
        return Answers(kept, answers.stopped), 0, len(written)


async def _dispatch(db: Database, tx: Tx, actor: Actor, row: Row, wanted: RecurringJob, tick_id: int) -> None:
    made = await recurring_content.dispatch(db, tx, actor, wanted)
    for table, ids in (("jobs", made.jobs), ("instances", made.instances)):
        if ids:
            await tx.execute(
                f"UPDATE {table} SET recurring_job_id = $1, tick_id = $2 WHERE id = ANY ($3)",
                row["id"],
                tick_id,
                ids,
            )


async def _move_on(
    tx: Tx, row: Row, wanted: RecurringJob, stands: Standing, answers: Answers, reached: datetime
) -> None:
    """The counter, how far it is answered, the next run; or why there is none, and Prefect is told."""
    next_at = next_tick(*recurring_rows.schedule(wanted), reached)
    stopped = answers.stopped or limit_of(stands, next_at)
    await tx.execute(
        """UPDATE recurring_jobs SET recurrences = $2, answered_until = greatest(answered_until, $3),
               next_run_at = $4, stopped = $5, wanted_seq = wanted_seq + CASE WHEN $6 THEN 1 ELSE 0 END
           WHERE id = $1""",
        row["id"],
        stands.recurrences,
        reached,
        None if stopped else next_at,
        stopped,
        stopped is not None,
    )
    if stopped is not None:
        detail = {"name": row["name"], "reason": stopped}
        await audit.record(tx, SYSTEM, "recurring_job.stop", "recurring_job", row["id"], **detail)
        await notify(tx, channels.OUTBOX)
    await notify(tx, channels.EVENTS, f"recurring_job:{row['id']}")


async def _write(
    tx: Tx,
    recurring_job_id: int,
    answers: Sequence[Answer],
    kind: str,
    who: str | None = None,
    flow_run_id: UUID | None = None,
) -> list[Row]:
    """The rows of the ledger that were not there yet, in the order of their instants."""
    return await tx.fetch(
        """WITH made AS (
               INSERT INTO ticks (recurring_job_id, at, kind, outcome, reason, fired_by_name, flow_run_id)
               SELECT $1::bigint, at, $5::text, outcome, reason, $6::text, $7::uuid
               FROM unnest($2::timestamptz[], $3::text[], $4::text[]) AS given (at, outcome, reason)
               ON CONFLICT (recurring_job_id, at) DO NOTHING RETURNING id, at, outcome)
           SELECT id, outcome FROM made ORDER BY at""",
        recurring_job_id,
        [each.at for each in answers],
        [each.outcome for each in answers],
        [each.reason for each in answers],
        kind,
        who,
        flow_run_id,
    )


def _refused(refusal: OpsgateError) -> str:
    return f"Refused: {refusal.message}"
