"""A definition in words: what each of its steps does, on which hosts, and where it leads. Pure.

For people to read: nothing runs or evaluates these texts, and references stand in them as they are written.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from definitions.names import listed
from definitions.parameters import Value
from definitions.routing import Outcome, declared_target, follow, outcomes
from definitions.step_documents import AMOUNTS
from definitions.steps import (
    ApprovalStep,
    CommandStep,
    ConditionStep,
    DelayStep,
    JobStep,
    PamCheckinStep,
    PamCheckoutStep,
    ParallelStep,
    ScriptStep,
    Step,
)
from definitions.steps.step import CANCELLED, END, FAIL, JobFields
from definitions.workflow import Workflow, all_steps

APPROVAL_TYPES = {
    "singular": "one named person decides",
    "one_of_many": "any one of the approvers",
    "two_of_many": "two approvers must agree",
    "all": "every approver must approve",
    "majority": "more than half of the approvers",
}
_SHELLS = {"bash": " in Bash", "powershell": " in PowerShell", None: ""}
_ENDS = {END: "the end: completed", FAIL: "the end: failed", CANCELLED: "the end: cancelled"}
_ENDS_IN_BRANCH = {**_ENDS, END: "the end of the branch", FAIL: "the end of the branch: failed"}
_JOINS = {"all": "once every branch has come to its end", "any": "once one branch has come to its end"}
_OF_ALL = ("id", "name", "type", "hosts", "on_success", "on_failure", "on_true", "on_false")
_OF_WORK = ("command", "shell", "script", "condition", "approval_type", "approvers", "join", "branches")
_OF_WAITS_AND_CHECKOUTS = (*AMOUNTS, "identity", "variable_name", "checkout")
_SAID = frozenset([*_OF_ALL, *_OF_WORK, *_OF_WAITS_AND_CHECKOUTS])
"""The fields that the words are made of."""


@dataclass(frozen=True)
class StepWords:
    """One step in words."""

    id: str
    name: str
    type: str
    branch: str
    """The branch it lies in; nothing at the top."""
    does: str
    text: str
    """The command or the condition as it is written; nothing for other kinds."""
    hosts: tuple[str, ...]
    """The targets it names itself."""
    settings: dict[str, Value]
    """Whatever else is not as it would be by itself, by the names that a definition file has for it."""
    routes: dict[str, str]
    """By how it ends (`success`, `failure`, `true`, `false`): the step that comes next, or which end."""


def in_words(workflow: Workflow, scripts: Mapping[int, str]) -> list[StepWords]:
    """Every step, those of branches after the step that holds them. `scripts`: names by id, where known."""
    return [_step(workflow, step, scripts) for step in all_steps(workflow.steps)]


def length(step: DelayStep) -> str:
    """For how long, or until when, a step waits."""
    amounts = {"seconds": step.seconds, "minutes": step.minutes, "hours": step.hours}
    said = [f"{amount:g} {unit}" for unit, amount in amounts.items() if amount is not None]
    return said[0] if said else f"until {step.until}"


def _step(workflow: Workflow, step: Step, scripts: Mapping[int, str]) -> StepWords:
    return StepWords(
        id=step.id,
        name=step.label,
        type=step.type,
        branch=_branch(workflow, step.id),
        does=_does(step, scripts),
        text=step.command if isinstance(step, CommandStep) else getattr(step, "condition", ""),
        hosts=tuple(map(str, step.hosts)) if isinstance(step, JobStep) else (),
        settings=_settings(step),
        routes={str(outcome): _route(workflow, step, outcome) for outcome in outcomes(step)},
    )


def _settings(step: Step) -> dict[str, Value]:
    """What is set, first what only this kind has."""
    found = step.model_dump(mode="json", exclude_defaults=True, exclude=set(_SAID))
    return dict(sorted(found.items(), key=lambda item: item[0] in JobFields.model_fields))


def _branch(workflow: Workflow, step_id: str) -> str:
    inside = workflow.place(step_id).branches
    if not inside:
        return ""
    around = workflow.step(inside[-1][0])
    assert isinstance(around, ParallelStep)
    return f"in {around.branch_labels()[inside[-1][1]]} of `{around.id}`"


def _route(workflow: Workflow, step: Step, outcome: Outcome) -> str:
    place = workflow.place(step.id)
    target = follow(place.steps, place.index, declared_target(step, outcome)[1])
    return (_ENDS_IN_BRANCH if place.branches else _ENDS).get(target, target)


def _does(step: Step, scripts: Mapping[int, str]) -> str:
    match step:
        case CommandStep():
            return f"Runs a command{_SHELLS[step.shell]}"
        case ScriptStep():
            name = scripts.get(step.script) if isinstance(step.script, int) else step.script
            return f"Runs the script {step.script}" if name is None else f"Runs the script `{name}`"
        case ApprovalStep():
            return f"Asks {_named(step.approvers)}: {APPROVAL_TYPES[step.approval_type]}"
        case ConditionStep():
            return "Decides by a condition"
        case DelayStep():
            return f"Waits {length(step)}"
        case PamCheckoutStep():
            known = "" if step.variable_name is None else f", known as `{step.variable_name}`"
            return f"Checks out the identity `{step.identity}`{known}"
        case PamCheckinStep():
            opened = (
                f"what {_named(step.checkout)} checked out" if step.checkout else "all that is checked out"
            )
            return f"Checks in {opened}"
        case _:
            names = _named(step.branch_labels())
            return f"Runs {names} side by side, and goes on {_JOINS[step.join]}"


def _named(names: tuple[str, ...] | list[str]) -> str:
    return listed([f"`{name}`" for name in names])
