"""Going on with an instance that failed or was stopped: as a new visit, every earlier result kept; and what
it held of identities when it ended asked for again, in the name of who resumes it.

Where it goes on is `definitions.resuming`. The keeper sees an instance that nobody runs, as after a
crash, and sets its flow run going.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from definitions import ahead, resuming, secret_values
from definitions.errors import Conflict, Invalid
from definitions.lifecycles import instance as lifecycle
from definitions.lifecycles.moves import allows
from definitions.parameters import Value, bind
from definitions.permissions import Actor, require
from definitions.resuming import Left, Resumption
from definitions.steps import Step
from definitions.workflow import Workflow
from store import (
    askers,
    audit,
    checkout_requests,
    checkouts,
    checkouts_ahead,
    instance_views,
    references,
    sealed_values,
    workflows,
)
from store.checkouts import Wanted
from store.connection import Database, Row, Tx
from store.instance_views import InstanceView
from store.wakes import wake_instance

GOES_ON = "goes_on_from_visit"
"""In the input of a parallel step that was resumed: its branches did not begin anew."""


async def resume(
    db: Database, actor: Actor, instance_id: int, secrets: Mapping[str, Value] | None = None
) -> InstanceView:
    """Have an instance go on at what failed, or where it was stopped; `Conflict` says why it can't.

    `secrets`: the secret inputs it was given, which are erased when it ends.
    """
    require(actor, "workflows.manage")
    async with db.transaction() as tx:
        row = await tx.fetchrow(
            """SELECT id, status, reason, ended_at, workflow_id, workflow_version, inputs, pinned_scripts
               FROM instances WHERE id = $1 FOR UPDATE""",
            instance_id,
        )
        if row is None:
            raise references.missing("instance", instance_id)
        await _check_over(tx, row)
        workflow = await workflows.load_version(tx, row["workflow_id"], row["workflow_version"])
        inputs = _with_secrets(workflow, row["inputs"], secrets or {})
        found = resuming.resume(workflow, await _left(tx, instance_id))
        held = await checkouts.held_at_end(tx, instance_id)
        await _go_on(tx, actor, row, found)
        to_come = ahead.to_come(workflow, (step.id for step in found.points), found.begun)
        asker = await askers.of_instance(tx, instance_id)
        await checkouts_ahead.confirm(tx, to_come, row["pinned_scripts"], asker)
        await _check_out_again(tx, instance_id, workflow, _needed(held, to_come, found.path), found)
        if secret := secret_values.given(workflow.inputs, inputs):
            await sealed_values.keep_of_instance(tx, db.keys, instance_id, secret)
        await wake_instance(tx, instance_id)
        detail = {"steps": list(found.again), "visit": found.visit, "was": row["status"]}
        await audit.record(tx, actor, "instance.resume", "instance", instance_id, **detail)
    async with db.connection() as tx:
        return await instance_views.one(tx, actor, instance_id)


async def _check_over(tx: Tx, row: Row) -> None:
    """Refuse one that goes on by itself, has completed, or still stops its jobs."""
    if row["ended_at"] is None:
        raise Conflict(f"Instance {row['id']} is {row['status']}: it goes on by itself.")
    if not allows(lifecycle.MOVES, row["status"], "resume"):
        raise Conflict(f"Instance {row['id']} has {row['status']}; run it again instead.")
    stopping = await tx.fetch(
        """SELECT j.id, h.name FROM jobs j JOIN hosts h ON h.id = j.host_id
           WHERE j.instance_id = $1 AND j.status IN ('queued', 'pending', 'running') ORDER BY j.id""",
        row["id"],
    )
    if stopping:
        names = references.listed([f"job {job['id']} on {job['name']}" for job in stopping])
        raise Conflict(f"Its jobs are being stopped still: {names}. Resume it when they have ended.")


def _with_secrets(
    workflow: Workflow, shown: Mapping[str, Value], secrets: Mapping[str, Value]
) -> dict[str, Value]:
    inputs, problems = secret_values.given_again(workflow.inputs, shown, secrets)
    if not problems:
        inputs, problems = bind(workflow.inputs, inputs, "/inputs")
    if problems:
        raise Invalid(problems[0].message, problems)
    return inputs


async def _left(tx: Tx, instance_id: int) -> dict[str, Left]:
    """The newest visit of every step."""
    rows = await tx.fetch(
        """SELECT step_id, visit, status, outcome, routed_to,
               CASE WHEN kind = 'parallel' THEN input -> $2::text IS NOT NULL ELSE false END AS goes_on
           FROM step_results WHERE instance_id = $1 ORDER BY visit""",
        instance_id,
        GOES_ON,
    )
    left: dict[str, Left] = {}
    for row in rows:
        step_id = row["step_id"]
        begun = left[step_id].begun if row["goes_on"] and step_id in left else row["visit"]
        left[step_id] = Left(row["visit"], begun, row["status"], row["outcome"], row["routed_to"])
    return left


def _needed(held: Iterable[Row], to_come: Iterable[Step], path: Collection[str]) -> list[Row]:
    """What is asked for at once: what steps to come may run as, if it was checked out on the path that goes
    on, and by no step to come, which asks for itself. `Conflict` when that is an exclusive identity twice: it
    would wait for itself."""
    steps = {step.id: step for step in to_come}
    names = ahead.may_run_as(steps.values())
    needed = [
        each
        for each in held
        if each["step_id"] in path
        and each["step_id"] not in steps
        and names & {each["identity"], each["variable_name"]}
    ]
    by_identity: dict[str, list[str]] = {}
    for each in needed:
        if each["exclusive"]:
            by_identity.setdefault(each["identity"], []).append(each["step_id"])
    for identity, holders in by_identity.items():
        if len(holders) > 1:
            raise Conflict(
                f"{identity} is exclusive, and the instance would ask for it again for each of the steps "
                f"{' and '.join(holders)}: it would wait for itself. Resume it when the identity is "
                "exclusive no more, or run it again."
            )
    return needed


async def _check_out_again(
    tx: Tx, instance_id: int, workflow: Workflow, held: Sequence[Row], found: Resumption
) -> None:
    """Ask for what the instance held when it ended and may need, in the order of the identities' locks; ask
    people too, where that takes their yes. What runs as it waits."""
    for row in sorted(held, key=lambda row: (row["identity_id"], row["step_id"])):
        wanted = Wanted(
            instance_id=instance_id,
            step_id=row["step_id"],
            visit=found.visit,
            identity=row["identity_id"],
            variable_name=row["variable_name"],
            reason=row["reason"],
            minutes=row["minutes"],
        )
        asked = await checkouts.request(tx, wanted)
        if asked.needs_approval:
            branch = workflow.branch(row["step_id"])
            await checkout_requests.ask(tx, asked, wanted, branch=branch, resumption=found)


async def _go_on(tx: Tx, actor: Actor, row: Row, found: Resumption) -> None:
    """Put the instance where it goes on; what it left stays as it is, but for the routes it was kept from."""
    await tx.executemany(
        """UPDATE step_results SET routed_to = $3 WHERE instance_id = $1 AND step_id = $2
             AND visit = (SELECT max(visit) FROM step_results WHERE instance_id = $1 AND step_id = $2)""",
        [(row["id"], step_id, target) for step_id, target in found.led_to.items()],
    )
    begun = [step for step in found.points if step.id in found.begun]
    await tx.execute(
        """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status, input, deadline)
           SELECT DISTINCT ON (step_id) instance_id, step_id, $3, kind, name, 'running',
               (input::jsonb || jsonb_build_object($4::text, visit))::json, now() + l.longest
           FROM step_results JOIN unnest($2::text[], $5::interval[]) AS l (step_id, longest) USING (step_id)
           WHERE instance_id = $1 ORDER BY step_id, visit DESC""",
        row["id"],
        [step.id for step in begun],
        found.visit,
        GOES_ON,
        [step.limit for step in begun],
    )
    await tx.execute(
        """UPDATE instances SET status = 'running', ended_at = NULL, reason = '', frontier = $2,
               cancel_requested_at = NULL, cancel_reason = NULL, parked_seq = NULL, park_kind = NULL,
               wake_at = NULL, nudged_at = NULL, nudges = 0, run_closed = false,
               resumes = resumes || jsonb_build_array(jsonb_build_object('at', now(), 'by', $3::text,
                   'steps', $4::jsonb, 'visit', $5::int, 'was', $6::text, 'reason', $7::text,
                   'by_id', $8::bigint))
           WHERE id = $1""",
        row["id"],
        [{"step": active.step, "visit": active.visit} for active in found.frontier],
        actor.name,
        list(found.again),
        found.visit,
        row["status"],
        row["reason"],
        actor.person,
    )
