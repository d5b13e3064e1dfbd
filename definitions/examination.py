"""Every problem of a workflow's document at once: those of its shape, and those of the proof.

Where a part of the document can't be read, the rest is still proved, and nothing is said that
hangs on the part: a step that can't be read exists, may lead anywhere and leaves any result.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from definitions.catalogue import Catalogue
from definitions.declarations import read_parameters
from definitions.nearest import pointer_to
from definitions.problems import Problem, has_errors
from definitions.proof import prove
from definitions.reading import not_json
from definitions.step_documents import ids_of, read_step
from definitions.steps import CommandStep, Step
from definitions.steps.step import END, TARGET_WORDS
from definitions.workflow import Workflow, parse

_ON_EDGES = frozenset(
    [
        "cycle",
        "dead-step",
        "not-on-every-path",
        "checked-in-before",
        "unknown-checkout",
        "nothing-to-check-in",
        "one-name-for-two",
        "waits-for-itself",
    ]
)
_ON_NAMES = frozenset(["unknown-target", "unknown-reference"])


@dataclass(frozen=True)
class Reading:
    """What could be read of a document."""

    workflow: Workflow | None
    """The workflow, if all of it has the right shape."""
    provable: Workflow | None
    """What can be proved of it; where a step can't be read, something stands in its place."""
    problems: tuple[Problem, ...]
    """Of its shape."""
    unsure: frozenset[str]
    """The kinds of problem that may be untrue because of what can't be read."""

    def prove(self, catalogue: Catalogue | None = None) -> list[Problem]:
        """Every problem, of the shape and of the proof; none is said of one place twice."""
        if self.provable is None:
            return list(self.problems)
        told = {problem.pointer for problem in self.problems}
        proved = prove(self.provable, catalogue)
        return [
            *self.problems,
            *(
                one
                for one in proved
                if one.code not in self.unsure and (not one.pointer or one.pointer not in told)
            ),
        ]


def examine(document: object, catalogue: Catalogue | None = None) -> tuple[Workflow | None, list[Problem]]:
    """The workflow, if it has the right shape and can be proved or not, and every problem."""
    reading = read_workflow(document)
    return reading.workflow, reading.prove(catalogue)


def read_workflow(document: object) -> Reading:
    """What a document says, as far as it can be read."""
    workflow, problems = parse(document)
    if workflow is not None:
        return Reading(workflow, workflow, tuple(problems), frozenset())
    steps = document.get("steps") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(steps, list) or not steps or not_json(document):
        return Reading(None, None, tuple(problems), frozenset())
    inputs, bad_inputs = read_parameters(document.get("inputs"), "/inputs")
    outputs = document.get("outputs")
    found = list(_readable(steps))
    in_steps = any(problem.pointer.startswith("/steps") for problem in problems)
    unsure = _ON_EDGES if in_steps else frozenset()
    if bad_inputs or any(step_id is None for step_id, _ in found):
        unsure |= _ON_NAMES | {"type-mismatch"}
    provable = Workflow.model_construct(
        name="",
        description="",
        inputs=inputs,
        outputs={key: text for key, text in outputs.items() if isinstance(text, str)}
        if isinstance(outputs, dict)
        else {},
        steps=tuple(step for _, step in found),
    )
    return Reading(None, provable, tuple(problems), unsure)


def _readable(documents: list[object]) -> Iterator[tuple[str | None, Step]]:
    """Every step with its id, None for one that can't be known; then one for each id inside one not read."""
    used = set(TARGET_WORDS)
    inside: list[str] = []
    for index, document in enumerate(documents):
        where = pointer_to("/steps", index)
        step, found = read_step(document, where)
        ids = [step_id for step_id, _ in ids_of([document], "")]
        own = document.get("id") if isinstance(document, dict) else None
        if step is None or has_errors(found):
            inside += [step_id for step_id in ids if step_id != own]
        if step is not None:
            own = step.id
        given = own if isinstance(own, str) else None
        fresh = given if given and given not in used else f"-{index}"
        used.add(fresh)
        yield given, _stand_in(fresh) if step is None else step.model_copy(update={"id": fresh})
    for step_id in dict.fromkeys(inside):
        if step_id not in used:
            yield step_id, _stand_in(step_id)


def _stand_in(step_id: str) -> Step:
    return CommandStep.model_construct(id=step_id, command="true", on_success=END)
