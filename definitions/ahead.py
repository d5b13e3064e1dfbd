"""What may run once a gate is passed: the steps up to the next gate, and their texts with values in place.

Pure. A value is known now, or a step that comes first will bring it: which one is said. Nothing runs the
texts made here; they are for people to read. Of a secret input a scope has no more than a mark.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from definitions.errors import Invalid
from definitions.graph import names_of
from definitions.parameters import Value, text_of
from definitions.references import RESERVED_ROOTS, Reference, references, whole
from definitions.routing import ENDINGS, Outcome, declared_target, follow, outcomes
from definitions.step_words import length
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
from definitions.storable import storable
from definitions.variables import BLOCKED, Scope, StepFacts, beginnings, identities_of, is_blocked, value_of
from definitions.workflow import Workflow

LONGEST_VALUE = 2000
"""Characters of one value that are shown; of a longer one its length and SHA-256 are, too."""


class Piece(BaseModel):
    """A stretch of a text: as the definition has it, or the value of a reference."""

    model_config = ConfigDict(frozen=True)

    text: str
    of: str | None = None
    """The reference whose value `text` is."""
    unknown: str | None = None
    """Why it has no value now; `text` is the reference itself then."""


class ScriptAhead(BaseModel):
    """The script of a step, at the version that will run."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    version: int
    libraries: dict[str, int] = {}
    """The version of each that will stand in front of it."""
    requires_elevation: bool = False


class StepAhead(BaseModel):
    """One step that may run, as far as it is known now."""

    model_config = ConfigDict(frozen=True)

    step: str
    name: str
    type: str
    when: str
    """What brings it about, in a few words."""
    text: tuple[Piece, ...] = ()
    """The command, the condition, how long it waits, what it asks."""
    values: dict[str, tuple[Piece, ...]] = {}
    """What it is given: a script's parameters, an identity, whom it runs as."""
    hosts: tuple[str, ...] = ()
    hosts_note: str = ""
    """What may still change about the hosts."""
    script: ScriptAhead | None = None


def reached(workflow: Workflow, gate: str) -> list[tuple[Step, str]]:
    """The steps that may run once the gate has been approved, the likeliest way first, each with what brings
    it about. The next gate ends a way and is its last step. What a join waits for is not weighed: rather one
    step too many than one too few."""
    begin = [("first", target) for _, outcome, target in edges(workflow, gate) if outcome is Outcome.SUCCESS]
    around = reversed([parallel for parallel, _ in workflow.place(gate).branches])
    return _onward(workflow, begin + _joins(workflow, around))


def reached_anew(
    workflow: Workflow, points: Sequence[str], begun: Collection[str] = ()
) -> list[tuple[Step, str]]:
    """The same of an instance that goes on at these steps: they come first. `begun`: those of them that are
    parallel steps of which no branch begins anew, each before what lies in it."""
    begin = [("first", point) for point in points if point not in begun]
    return _onward(workflow, begin + _joins(workflow, [each for each in reversed(points) if each in begun]))


def _joins(workflow: Workflow, parallels: Iterable[str]) -> list[tuple[str, str]]:
    """What comes once parallel steps are over, by what."""
    return [
        (_WAYS[outcome].format(parallel), target)
        for each in parallels
        for parallel, outcome, target in edges(workflow, each)
        if outcome is not None
    ]


def _onward(workflow: Workflow, begin: Sequence[tuple[str, str]]) -> list[tuple[Step, str]]:
    """From there on: what brings a step about, and the step."""
    ways: dict[str, list[str]] = {}
    to_do = list(reversed(begin))
    while to_do:
        way, target = to_do.pop()
        if target not in ways and not isinstance(workflow.step(target), ApprovalStep):
            ways_on = edges(workflow, target)
            to_do += [(_WAYS[outcome].format(target), then) for _, outcome, then in ways_on][::-1]
        ways.setdefault(target, []).append(way)
    return [(workflow.step(step), " or ".join(found)) for step, found in ways.items()]


def to_come(workflow: Workflow, points: Iterable[str], begun: Collection[str] = ()) -> list[Step]:
    """These steps and all that may come after them. `begun`: parallel steps of which no branch begins anew,
    as it is of those that the steps lie in."""
    to_do, found, inside = [*points], dict[str, Step](), {*begun}
    while to_do:
        at = to_do.pop()
        if at in found:
            continue
        found[at] = workflow.step(at)
        around = [parallel for parallel, _ in workflow.place(at).branches]
        inside |= {*around}
        ways = edges(workflow, at)
        to_do += [target for _, outcome, target in ways if outcome is not None or at not in inside]
        to_do += around
    return list(found.values())


def may_run_as(steps: Iterable[Step]) -> frozenset[str]:
    """The names of the identities that these steps run as."""
    texts = (step.run_as for step in steps if isinstance(step, JobStep) and step.run_as is not None)
    return frozenset(reference.root for text in texts for reference in references(text))


_WAYS = {
    None: "as a branch of `{}`",
    Outcome.SUCCESS: "after `{}`",
    Outcome.FAILURE: "if `{}` fails",
    Outcome.TRUE: "if `{}` is true",
    Outcome.FALSE: "if `{}` is false",
}


def edges(workflow: Workflow, step_id: str) -> Iterator[tuple[str, Outcome | None, str]]:
    """Where a step leads: itself, the outcome (None: into a branch), the step that comes then."""
    place = workflow.place(step_id)
    step = place.steps[place.index]
    if isinstance(step, ParallelStep):
        yield from ((step_id, None, branch.steps[0].id) for branch in step.branches)
    for outcome in outcomes(step):
        target = follow(place.steps, place.index, declared_target(step, outcome)[1])
        if target not in ENDINGS:
            yield step_id, outcome, target


def identities(
    workflow: Workflow,
    readers: Iterable[str],
    checked_out: Sequence[tuple[str, StepFacts]],
    later: Iterable[str],
) -> dict[str, dict[str, Mapping[str, Value]]]:
    """By step ahead: the identities that it will know by each name, as far as that is certain.

    `checked_out`: what has been, with the steps, in order; `later`: the steps still to come, which may give
    a name to another identity.
    """
    names = {name for _, facts in checked_out for name in _names(facts)}
    coming = [
        (step, {each.id for each in to_come(workflow, [step.id])} - {step.id})
        for step in map(workflow.step, later)
        if isinstance(step, PamCheckoutStep) and not names.isdisjoint(names_of(step))
    ]
    by_branch: dict[str, list[StepFacts]] = {}
    found: dict[str, dict[str, Mapping[str, Value]]] = {}
    for reader in readers:
        branch = workflow.branch(reader)
        if branch not in by_branch:
            by_branch[branch] = [facts for at, facts in checked_out if not workflow.beside(at, reader)]
        found[reader] = _certain(by_branch[branch], [step for step, after in coming if reader in after])
    return found


def _certain(seen: Sequence[StepFacts], coming: Iterable[PamCheckoutStep]) -> dict[str, Mapping[str, Value]]:
    whose = {name: _names(facts)[-1] for facts in seen for name in _names(facts)}
    unsure = {name for step in coming for name in names_of(step) if whose.get(name) != step.identity}
    return {name: readable for name, readable in identities_of(seen).items() if name not in unsure}


def _names(facts: StepFacts) -> tuple[str, ...]:
    """What the identity is called that a step has checked out; the last is its own name."""
    return facts.checkout.names if facts.checkout is not None else ()


def describe(step: Step, when: str, scope: Scope, later: Collection[str]) -> StepAhead:
    """A step with the values its texts have now; `later`: the steps whose results are still to come."""

    def said(template: Value) -> tuple[Piece, ...]:
        return pieces(template, scope, later)

    text, values = _said(step)
    runs_as = _runs_as(step, scope)
    given = {name: said(value) for name, value in values.items() if value is not None}
    return StepAhead(
        step=step.id,
        name=step.label,
        type=step.type,
        when=when,
        text=said(text) if text else (),
        values={**given, "run as": runs_as} if runs_as else given,
    )


def _runs_as(step: Step, scope: Scope) -> tuple[Piece, ...]:
    """Whom a step runs as: of an identity its name and the account's."""
    template = step.run_as if isinstance(step, JobStep) else None
    if template is None:
        return ()
    reference = whole(template)
    if reference is None:
        return (Piece(text=template),)
    identity = scope.identities.get(reference.root)
    if identity is None:
        return (Piece(text=template, of=template, unknown=_not_checked_out(reference.root)),)
    return (Piece(text=f"{reference.root} ({text_of(identity.get('username'))})", of=template),)


def _said(step: Step) -> tuple[str, dict[str, Value]]:
    """What is to be said of each kind: its text, and what it is given by name."""
    match step:
        case CommandStep():
            return step.command, {}
        case ScriptStep():
            return "", {**step.parameters}
        case ConditionStep():
            return step.condition, {}
        case DelayStep():
            return length(step), {}
        case ApprovalStep():
            return step.title or step.label, {"approvers": ", ".join(step.approvers)}
        case PamCheckoutStep():
            return step.reason, {
                "identity": step.identity,
                "known as": step.variable_name,
                "minutes": step.duration_minutes,
            }
        case PamCheckinStep():
            return "", {"checkouts": ", ".join(step.checkout) or "every open one"}
        case _:
            return "", {"branches": len(step.branches), "join": step.join}


def pieces(template: Value, scope: Scope, later: Collection[str]) -> tuple[Piece, ...]:
    """A text cut at its references, each replaced by its value, or by why it has none yet."""
    text = text_of(template)
    found: list[Piece] = []
    done = 0
    for reference in references(text):
        found += [Piece(text=text[done : reference.start]), _value(reference, scope, later)]
        done = reference.end
    return tuple(piece for piece in (*found, Piece(text=text[done:])) if piece.text or piece.of)


def _value(reference: Reference, scope: Scope, later: Collection[str]) -> Piece:
    if _of_identity(reference) and is_blocked(reference):
        return Piece(text=BLOCKED, of=reference.text)
    unknown = _unknown(reference, scope, later)
    if unknown is None:
        try:
            text = shown(text_of(value_of(reference, scope)))
            short = "".join(f" ({sentence})" for sentence in beginnings([reference.text], scope))
            return Piece(text=text + short, of=reference.text)
        except Invalid as error:
            unknown = error.message
    return Piece(text=reference.text, of=reference.text, unknown=unknown)


def _unknown(reference: Reference, scope: Scope, later: Collection[str]) -> str | None:
    """Why a reference can't have its value yet."""
    if reference.step_id is not None:
        return f"known when `{reference.step_id}` has run" if reference.step_id in later else None
    if not _of_identity(reference) or reference.root in scope.identities:
        return None
    return _not_checked_out(reference.root)


def _of_identity(reference: Reference) -> bool:
    return reference.step_id is None and reference.root not in RESERVED_ROOTS


def _not_checked_out(name: str) -> str:
    return f"known when `{name}` is checked out"


def shown(text: str, most: int = LONGEST_VALUE) -> str:
    """A value of any length and content as a text that can be stored and read."""
    text = storable(text)
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text)} characters; SHA-256 {hashlib.sha256(text.encode()).hexdigest()})"
