"""What will run if people say yes to a request, as people see it: with the texts of its scripts, and what has
changed in them since this gate was last approved. Changes nothing.
"""

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions import ahead
from definitions.ahead import StepAhead
from definitions.errors import Invalid
from definitions.permissions import Actor, may
from definitions.prepending import prepend
from definitions.script import Script
from definitions.step_documents import write_step
from definitions.steps import CommandStep, ScriptStep, Step
from definitions.workflow import Workflow
from store import libraries, scripts, workflows
from store.connection import Row, Tx
from store.version_diffs import unified


class Change(BaseModel):
    """What is different from the last time; unified diffs, empty: the same."""

    model_config = ConfigDict(frozen=True)

    new: bool = False
    """The step was not there."""
    settings: str = ""
    content: str | None = ""
    """None: of a script whose text the person may not see."""


class StepPlan(StepAhead):
    """A step that may run, with the text it runs."""

    content: str | None = None
    """Of a script, its libraries in front; None where there is none, or the person may not see it."""
    content_hidden: str | None = None
    """If they may not, why."""
    change: Change | None = None
    """Since the run it is compared with; None where there is none."""


class Earlier(BaseModel):
    """The last time this gate of this workflow was approved."""

    model_config = ConfigDict(frozen=True)

    request_id: int
    instance_id: int
    workflow_version: int
    decided_at: datetime


class Plan(BaseModel):
    """Everything that may run up to the next gate."""

    model_config = ConfigDict(frozen=True)

    steps: list[StepPlan] = []
    compared_with: Earlier | None = None
    gone: list[str] = []
    """Steps that ran, or could have, behind the gate then, and can't now; none of an instance that was
    resumed behind it, as some of them have run."""


class _Run:
    """An instance's workflow and pins, and the texts of its steps."""

    def __init__(self, tx: Tx, row: Row, workflow: Workflow) -> None:
        self._tx = tx
        self._row = row
        self.workflow = workflow

    async def script(self, step: Step) -> tuple[Script, str] | None:
        """A step's script, and its text as it runs."""
        version = self._row["pinned_scripts"].get(str(step.script)) if isinstance(step, ScriptStep) else None
        if version is None or not isinstance(step, ScriptStep):
            return None
        script = await scripts.load_version(self._tx, int(step.script), version)
        linked = await libraries.pinned(self._tx, self._row["pinned_libraries"], script)
        try:
            return script, prepend(script.language, script.content, [each.library.content for each in linked])
        except Invalid:  # then the step fails, and nothing runs
            return script, script.content

    async def texts(self, step: Step, hidden: str | None) -> tuple[str, str]:
        """What a step does, as two texts to compare: its settings, and what it runs. `hidden`: nothing of
        its script, whose parameters and defaults are as much the script's as its text."""
        settings = {
            key: value for key, value in write_step(step).items() if key not in ("command", "branches")
        }
        content = step.command if isinstance(step, CommandStep) else ""
        if not hidden and (found := await self.script(step)) is not None:
            script, content = found
            settings["script"] = script.model_dump(mode="json", exclude={"content", "libraries"})
        return json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False), content


async def show(tx: Tx, actor: Actor, request: Row) -> Plan:
    """The plan of a request, as this person may see it. `request` is the whole row."""
    steps = [StepPlan.model_validate(step) for step in request["frozen"].get("ahead", ())]
    row = await tx.fetchrow("SELECT * FROM instances WHERE id = $1", request["instance_id"])
    if row is None and request["checkout_id"] is not None:
        return Plan(steps=[await _of_jobs(tx, actor, request["checkout_id"], step) for step in steps])
    if row is None or not steps:
        return Plan(steps=steps)
    now = await _run(tx, row)
    earlier, then = await _earlier(tx, request, row["workflow_id"])
    hidden = may(actor, "scripts.view")
    shown = [await _step(step, now, then, hidden) for step in steps]
    ids = {step.step for step in steps}
    resumed = "goes_on" in request["frozen"]
    before = [] if then is None or resumed else ahead.reached(then.workflow, request["step_id"])
    gone = [step.label for step, _ in before if step.id not in ids]
    return Plan(steps=shown, compared_with=earlier, gone=gone)


async def _of_jobs(tx: Tx, actor: Actor, checkout_id: int, step: StepPlan) -> StepPlan:
    """What the jobs of a checkout run, with the text that they have."""
    hidden = may(actor, "scripts.view")
    if hidden:
        return step.model_copy(update={"content_hidden": hidden})
    content = await tx.fetchval(
        "SELECT payload ->> 'content' FROM jobs WHERE checkout_id = $1 ORDER BY id LIMIT 1", checkout_id
    )
    return step.model_copy(update={"content": content})


async def _run(tx: Tx, row: Row) -> _Run:
    return _Run(tx, row, await workflows.load_version(tx, row["workflow_id"], row["workflow_version"]))


async def _earlier(tx: Tx, request: Row, workflow_id: int) -> tuple[Earlier | None, _Run | None]:
    row = await tx.fetchrow(
        """SELECT i.*, r.id AS request_id, r.decided_at FROM approval_requests r
           JOIN instances i ON i.id = r.instance_id
           WHERE i.workflow_id = $1 AND r.step_id = $2 AND r.status = 'approved' AND r.id < $3
           ORDER BY r.id DESC LIMIT 1""",
        workflow_id,
        request["step_id"],
        request["id"],
    )
    if row is None:
        return None, None
    earlier = Earlier(
        request_id=row["request_id"],
        instance_id=row["id"],
        workflow_version=row["workflow_version"],
        decided_at=row["decided_at"],
    )
    return earlier, await _run(tx, row)


async def _step(plan: StepPlan, now: _Run, then: _Run | None, hidden: str | None) -> StepPlan:
    step = now.workflow.step(plan.step)
    script = await now.script(step)
    more: dict[str, Any] = {}
    if script is not None:
        more = {"content_hidden": hidden} if hidden else {"content": script[1]}
    if then is not None:
        more["change"] = await _change(step, now, then, hidden if script is not None else None)
    return plan.model_copy(update=more)


async def _change(step: Step, now: _Run, then: _Run, hidden: str | None) -> Change:
    try:
        before = then.workflow.step(step.id)
    except KeyError:
        return Change(new=True)
    old, new = await then.texts(before, hidden), await now.texts(step, hidden)
    content = None if hidden else unified(old[1], new[1], "approved last", "now")
    return Change(settings=unified(old[0], new[0], "approved last", "now"), content=content)
