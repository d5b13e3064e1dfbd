"""A workflow: its model, and how a document becomes one, with every problem found.

Parsing looks at shape only; whether the workflow can run is `definitions.proof`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from definitions.declarations import read_parameters
from definitions.names import Name, check_kind, check_name
from definitions.parameters import Parameter
from definitions.problems import Problem, has_errors
from definitions.reading import kind_of, not_json, read
from definitions.step_documents import STAND_IN, check_ids, read_steps, walk, write_step
from definitions.steps import ParallelStep, Step


@dataclass(frozen=True)
class Place:
    """Where a step stands: in which list, the workflow's or a branch's, and at which position."""

    steps: tuple[Step, ...]
    index: int
    branches: tuple[tuple[str, int], ...]
    """The branches it lies in, the outermost first: the parallel step's id, and the branch's number."""


class Workflow(BaseModel):
    """A definition that has the right shape; the first step is the entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    description: Annotated[str, Field(max_length=20_000)] = ""
    inputs: tuple[Parameter, ...] = ()
    outputs: dict[str, str] = Field(default_factory=dict)
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    @cached_property
    def _by_id(self) -> dict[str, Step]:
        return {step.id: step for step in all_steps(self.steps)}

    @cached_property
    def _places(self) -> dict[str, Place]:
        return {place.steps[place.index].id: place for place in _places(self.steps, ())}

    def branch(self, step_id: str) -> str:
        """The branch the step lies in: `p.0/q.1/`, or nothing at the top. What lies within begins so."""
        return "".join(f"{parallel}.{number}/" for parallel, number in self.place(step_id).branches)

    def place(self, step_id: str) -> Place:
        """Where the step stands; KeyError if there is none."""
        return self._places[step_id]

    def beside(self, step_id: str, other: str) -> bool:
        """Whether two steps lie in different branches of one parallel step; KeyError if there is one of
        them not. What one has checked out is none of the other's."""
        branches = dict(self.place(other).branches)
        return any(branches.get(parallel, at) != at for parallel, at in self.place(step_id).branches)

    def step(self, step_id: str) -> Step:
        """The step of that id, in the list or in a branch; KeyError if there is none."""
        return self._by_id[step_id]

    def changed(self, change: Callable[[Step], Step]) -> "Workflow":
        """The same workflow with each step, those of branches too, as `change` makes it; ids stay."""

        def inside(step: Step) -> Step:
            if not isinstance(step, ParallelStep):
                return change(step)
            branches = tuple(
                branch.model_copy(update={"steps": tuple(map(inside, branch.steps))})
                for branch in step.branches
            )
            return step.model_copy(update={"branches": branches})

        fields = {name: getattr(self, name) for name in Workflow.model_fields}
        return Workflow.model_construct(**{**fields, "steps": tuple(map(inside, self.steps))})

    def document(self) -> dict[str, object]:
        """The canonical document, defaults written out: `parse` gives this workflow back for it."""
        return {
            "kind": "workflow",
            "name": self.name,
            "description": self.description,
            "inputs": [parameter.model_dump(mode="json") for parameter in self.inputs],
            "outputs": dict(self.outputs),
            "steps": [write_step(step) for step in self.steps],
        }


def _places(steps: tuple[Step, ...], branches: tuple[tuple[str, int], ...]) -> Iterator[Place]:
    for index, step in enumerate(steps):
        yield Place(steps, index, branches)
        if isinstance(step, ParallelStep):
            for number, branch in enumerate(step.branches):
                yield from _places(branch.steps, (*branches, (step.id, number)))


def all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step, those of branches after the step that holds them."""
    return (step for step, _ in walk(steps, ""))


def parse(document: object) -> tuple[Workflow | None, list[Problem]]:
    """The workflow, if the document has the right shape, and everything found on the way."""
    odd = not_json(document)
    if odd or not isinstance(document, dict):
        message = f"A workflow is an object with named fields, not {kind_of(document)}."
        wrong = Problem(
            pointer="", code="wrong-type", message=message, fix="Write `name`, `steps` and so on."
        )
        return None, odd or [wrong]
    rest = {key: value for key, value in document.items() if value is not None and key != "kind"}
    inputs, problems_of_inputs = read_parameters(rest.get("inputs"), "/inputs")
    steps, problems_of_steps = read_steps(rest["steps"], "/steps") if "steps" in rest else ((), [])
    problems_of_steps += check_ids(rest.get("steps"), "/steps")
    if problems_of_steps:
        rest["steps"] = STAND_IN.steps  # so that the rest is still looked at
    elif steps:
        rest["steps"] = steps
    workflow, problems = read(Workflow, {**rest, "inputs": inputs}, "", "workflow")
    problems = [*check_kind(document, "workflow"), *check_name(document), *problems]
    problems += [*problems_of_inputs, *problems_of_steps]
    return (None if has_errors(problems) else workflow), problems
