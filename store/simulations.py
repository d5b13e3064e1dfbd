"""Workflows walked on paper against what exists here. Reads; saves and sends nothing.

What the actor may not see, scripts or hosts, is left out of what is known.
"""

import asyncio
import time
from datetime import datetime
from typing import Any

from definitions.catalogue import Catalogue
from definitions.errors import Invalid
from definitions.examination import Reading, read_workflow
from definitions.permissions import Actor, may, require
from definitions.simulation import Simulation, simulate
from definitions.steps import JobStep
from definitions.workflow import all_steps
from store import catalogue, people, targets, workflows
from store.connection import Database, Tx

LIMIT_SECONDS = 5.0
"""How long one may take: a scenario can ask for any amount of work."""
_MOST_TARGETS = 200


async def of_document(
    db: Database, actor: Actor, document: dict[str, Any], scenario: dict[str, Any]
) -> Simulation:
    """What a definition would do under a scenario; `Invalid` with every problem of either."""
    require(actor, "workflows.view")
    workflows.check_size(document)
    reading = await asyncio.to_thread(read_workflow, document)  # other requests go on meanwhile
    async with db.connection() as tx:
        known = Catalogue() if reading.provable is None else await catalogue.load(tx, reading.provable)
        known = catalogue.seen_by(actor, known)
        named = {} if may(actor, "hosts.view") else await _targets(tx, reading, scenario.get("hosts"))
        starter = await _starter(tx, actor, scenario.get("started_by"))
        now: datetime = await tx.fetchval("SELECT now()")
    until = time.monotonic() + LIMIT_SECONDS
    return await asyncio.to_thread(
        simulate,
        reading,
        {"started_by": actor.name, **scenario},
        now,
        known=known,
        targets=named,
        starter=starter,
        going_on=lambda: time.monotonic() < until,
    )


async def of_draft(
    db: Database, actor: Actor, workflow_ref: int | str, scenario: dict[str, Any]
) -> Simulation:
    """What the draft of a workflow would do under a scenario."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        row = await workflows.find(tx, workflow_ref)
    return await of_document(db, actor, row["draft"], scenario)


async def _starter(tx: Tx, actor: Actor, name: object) -> int | None:
    """Who starts it: the actor, unless the scenario names somebody else."""
    if not isinstance(name, str) or name == actor.name:
        return actor.person
    reference = f"user:{name[:200]}"
    found = await people.resolve(tx, {reference})
    return next(iter(found.get(reference, ())), None)


async def _targets(tx: Tx, reading: Reading, hosts: object) -> dict[str, tuple[str, ...]]:
    """The hosts of every tag, group and id that is named; what is not known, the proof says."""
    steps = () if reading.workflow is None else all_steps(reading.workflow.steps)
    wanted = {str(target) for step in steps if isinstance(step, JobStep) for target in step.hosts}
    wanted |= {str(target) for target in hosts} if isinstance(hosts, list) else set()
    loose = [one for one in sorted(wanted) if one.startswith(("tag:", "group:")) or one.isdigit()]
    found: dict[str, tuple[str, ...]] = {}
    for target in loose[:_MOST_TARGETS]:
        try:
            found[target] = tuple(host.name for host in await targets.resolve(tx, [target]))
        except Invalid:
            continue
    return found
