"""The steps that run on the instance's hosts, and references to single hosts of them: known at the start."""

from collections.abc import Iterator

from definitions.nearest import nearest
from definitions.problems import Problem
from definitions.proof_references import host_names
from definitions.references import references
from definitions.step_documents import walk
from definitions.steps import JobStep
from definitions.templates import templates_of, texts
from definitions.workflow import Workflow, all_steps


def needs_hosts(workflow: Workflow) -> bool:
    """Whether an instance has to name hosts: some step runs on them, and not on hosts of its own."""
    return bool(_on_the_instances(workflow))


def unmet(workflow: Workflow, hosts: frozenset[str]) -> list[Problem]:
    """A problem for every reference that could never have a value in an instance on these hosts."""
    here = _on_the_instances(workflow)
    return [
        Problem(
            pointer=pointer,
            code="unknown-host",
            message=f"{reference.text}: `{reference.step_id}` would not run on a host `{named[0]}`.",
            fix=nearest(named[0], sorted(hosts)) or "Start it on that host too.",
        )
        for text, pointer in _texts(workflow)
        for reference in references(text)
        if reference.step_id in here and (named := host_names(reference.path)) and hosts.isdisjoint(named)
    ]


def _on_the_instances(workflow: Workflow) -> set[str]:
    return {step.id for step in all_steps(workflow.steps) if isinstance(step, JobStep) and not step.hosts}


def _texts(workflow: Workflow) -> Iterator[tuple[str, str]]:
    for step, where in walk(workflow.steps, "/steps"):
        yield from templates_of(step, where)
    yield from texts(workflow.outputs, "/outputs")
