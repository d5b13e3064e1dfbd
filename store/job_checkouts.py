"""Checkouts for jobs alone: of a script that runs as an identity, by hand, by a tick, by a step, or again.

One for all the jobs that are made together, in the name of whoever runs it. While it waits, for an approval
or its turn, its jobs stay queued; it ends with the last of them, or with their step. That is looked up by the
keeper, not done as a job ends: so it holds however one ends, and no job's end has to wait for the identity's
lock.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from definitions.ahead import Piece, ScriptAhead, StepAhead, shown
from definitions.identity import Identity
from definitions.lifecycles.approval import ApprovalStatus
from definitions.parameters import Value, text_of
from definitions.permissions import SYSTEM, Actor
from definitions.routing import Active
from definitions.script import Script
from store import approvals, askers, checkout_requests, checkouts, scripts, votes
from store.approvals import Question
from store.askers import Asker
from store.checkouts import BATCH, Requested, Wanted
from store.connection import Database, Row, Tx

JOBS_ENDED = "Its jobs have ended."


class ScriptRun(NamedTuple):
    """What is to run as the identity."""

    script_id: int
    version: int
    script: Script
    libraries: Sequence[Mapping[str, Any]]
    """Of each: its name, and its version."""
    parameters: Mapping[str, Value]
    """With a mark in the place of each secret."""
    hosts: Sequence[str]


async def check_out(tx: Tx, asker: Asker, run: ScriptRun, identity: str, reason: str = "") -> int:
    """Make the checkout by which the jobs of a run, not made yet, will run. `NotPermitted` if the identity is
    not for this person; `Conflict` if it is archived, or nobody could approve its use."""
    reason = reason.strip() or f"The script {run.script.name}, version {run.version}."
    made = await checkouts.request(tx, Wanted(None, None, None, identity, reason=reason, asker=asker))
    if made.needs_approval:
        await approvals.ask(tx, _question(run, made, reason))
    return made.id


def _question(run: ScriptRun, made: Requested, reason: str) -> Question:
    assert made.identity.approval is not None
    return Question(
        title=f"Run {run.script.name} as {made.identity.name}",
        description=reason,
        rule=made.identity.approval,
        at=checkout_requests.at(made.identity),
        askers=made.asker.people,
        checkout_id=made.id,
        about={
            **_facts(made.asker, run, made.identity, reason),
            "checkout": checkout_requests.shown(made),
        },
    )


def _facts(asker: Asker, run: ScriptRun, identity: Identity, reason: str) -> dict[str, Value]:
    """What a person says yes to."""
    script = ScriptAhead(
        id=run.script_id,
        name=run.script.name,
        version=run.version,
        libraries={each["name"]: each["version"] for each in run.libraries},
        requires_elevation=run.script.requires_elevation,
    )
    given = {**run.parameters, "run as": identity.name}
    ahead = StepAhead(
        step="script",
        name=run.script.name,
        type="script",
        when="at once",
        values={name: (Piece(text=shown(text_of(value))),) for name, value in given.items()},
        hosts=tuple(run.hosts),
        script=script,
    )
    return {
        "reason": reason,
        "script": {"id": run.script_id, "name": run.script.name, "version": run.version},
        "libraries": dict[str, Value](script.libraries),
        "parameters": dict(run.parameters),
        "hosts": list[Value](run.hosts),
        "started_by": asker.hands[0].name,
        "ahead": [ahead.model_dump(mode="json", exclude_defaults=True)],
    }


async def of_step(
    tx: Tx, run: ScriptRun, identity: str, instance_id: int, active: Active, known_from: Sequence[str]
) -> int:
    """The checkout by which a step's jobs run as the identity of their script: one that jobs of this visit
    have, or one of this identity that the instance has by the steps `known_from`, or a new one. The caller
    has locked the instance."""
    known: int | None = await tx.fetchval(
        """SELECT c.id FROM jobs j JOIN checkouts c ON c.id = j.checkout_id
           WHERE j.instance_id = $1 AND j.step_id = $2 AND j.visit = $3
             AND c.status IN ('requested', 'active') ORDER BY c.id DESC LIMIT 1""",
        instance_id,
        active.step,
        active.visit,
    )
    known = known or await tx.fetchval(
        """SELECT c.id FROM checkouts c JOIN identities i ON i.id = c.identity_id
           WHERE c.instance_id = $1 AND i.name = $2 AND c.step_id = ANY ($3) AND c.status = 'active'
             AND c.deadline > clock_timestamp() ORDER BY c.id DESC LIMIT 1""",
        instance_id,
        identity,
        list(known_from),
    )
    if known is not None:
        return known
    reason = f"Step {active.step} of instance {instance_id} runs the script {run.script.name}."
    return await check_out(tx, await askers.of_instance(tx, instance_id), run, identity, reason)


async def once_more(tx: Tx, actor: Actor, job: Row) -> int | None:
    """A new checkout for the next attempt of a locked job; None if it runs by none, or by its instance's.
    Only scripts have one of their own."""
    before = await tx.fetchrow(
        """SELECT d.name AS identity, h.name AS host, coalesce(e.parameters, '{}') AS parameters,
                  c.for_id, coalesce(u.name, '') AS for_name
           FROM jobs j JOIN hosts h ON h.id = j.host_id JOIN checkouts c ON c.id = j.checkout_id
           JOIN identities d ON d.id = c.identity_id LEFT JOIN executions e ON e.id = j.execution_id
           LEFT JOIN users u ON u.id = c.for_id
           WHERE j.id = $1 AND c.instance_id IS NULL AND j.script_id IS NOT NULL""",
        job["id"],
    )
    if before is None:
        return None
    script = await scripts.load_version(tx, job["script_id"], job["script_version"])
    run = ScriptRun(
        job["script_id"],
        job["script_version"],
        script,
        job["libraries"],
        before["parameters"],
        [before["host"]],
    )
    reason = f"Attempt {job['attempt'] + 1} of job {job['id']}, the script {script.name}."
    if job["execution_id"] is None:
        asker = await askers.of_instance(tx, job["instance_id"])
    else:
        asker = await askers.of_execution(tx, job["execution_id"])
    if before["for_id"] is not None:
        asker = asker.then(before["for_id"], before["for_name"], "repeated")
    asker = asker.then(actor.person, actor.name, "repeated")
    made = await check_out(tx, asker, run, before["identity"], reason)
    await tx.execute("UPDATE jobs SET checkout_id = $2 WHERE id = $1", job["id"], made)
    return made


async def end_unused(db: Database) -> int:
    """Check in what was made for jobs that have all ended, as has the step they are of; returns how many.
    Called by the keeper.

    A job comes back to its checkout by its step alone, so what is found unused stays so.
    """
    rows = await db.fetch(
        f"""SELECT c.id FROM checkouts c
            WHERE c.status IN ('requested', 'active') AND c.instance_id IS NULL AND NOT EXISTS (
                SELECT FROM jobs j LEFT JOIN step_results s
                  ON s.instance_id = j.instance_id AND s.step_id = j.step_id AND s.visit = j.visit
                LEFT JOIN instances i ON i.id = j.instance_id
                WHERE j.checkout_id = c.id AND (j.status IN ('queued', 'pending', 'running')
                    OR s.id IS NOT NULL AND s.ended_at IS NULL AND i.ended_at IS NULL))
            ORDER BY c.id LIMIT {BATCH}"""
    )
    ended = 0
    for row in rows:
        async with db.transaction() as tx:
            ended += await checkouts.check_in(tx, SYSTEM, row["id"], JOBS_ENDED)
    return ended


async def withdraw_moot(db: Database) -> int:
    """Withdraw the requests about checkouts that have ended undecided; returns how many. Called by the
    keeper: a request's lock comes before the identity's, which whoever ended the checkout held."""
    rows = await db.fetch(
        f"""SELECT r.id, c.end_reason FROM approval_requests r JOIN checkouts c ON c.id = r.checkout_id
            WHERE r.status = 'pending' AND c.status <> 'requested' ORDER BY r.id LIMIT {BATCH}"""
    )
    withdrawn = 0
    for row in rows:
        async with db.transaction() as tx:
            request = await votes.lock(tx, row["id"])
            if request["status"] == ApprovalStatus.PENDING:
                reason = f"Nobody has to decide any more. {row['end_reason']}".strip()
                await votes.decide(tx, request, ApprovalStatus.WITHDRAWN, reason, SYSTEM)
                withdrawn += 1
    return withdrawn
