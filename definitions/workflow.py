"""A workflow: its model, and how a document becomes one, with every problem found.

Parsing looks at shape only; whether the workflow can run is `definitions.proof`.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from definitions.parameters import Parameter
from definitions.problems import Problem
from definitions.steps import ParallelStep, Step

Name = Annotated[str, Field(min_length=1, max_length=200)]


class Workflow(BaseModel):
    """A definition that has the right shape; the first step is the entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    description: str = ""
    inputs: tuple[Parameter, ...] = ()
    outputs: dict[str, str] = Field(default_factory=dict)
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    @cached_property
    def _by_id(self) -> dict[str, Step]:
        return {step.id: step for step in all_steps(self.steps)}

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {step.id: index for index, step in enumerate(self.steps)}

    def position(self, step_id: str) -> int:
        """Where the step stands in the list; KeyError if it is not at the top level."""
        return self._positions[step_id]

    def step(self, step_id: str) -> Step:
        """The step of that id, in the list or in a branch; KeyError if there is none."""
        return self._by_id[step_id]

    def document(self) -> dict[str, object]:
        """The canonical document: `parse` gives this workflow back for it."""
        raise NotImplementedError


def all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step, those of branches after the step that holds them."""
    for step in steps:
        yield step
        if isinstance(step, ParallelStep):
            for branch in step.branches:
                yield from all_steps(branch.steps)


def parse(document: object) -> tuple[Workflow | None, list[Problem]]:
    """The workflow, if the document has the right shape, and everything found on the way."""
    raise NotImplementedError
