"""The proof against every walk through a workflow, and what it costs."""

import time

from hypothesis import given
from hypothesis import strategies as st

from definitions.proof import prove
from definitions.routing import Outcome, advance, outcomes, start
from definitions.steps.step import TARGET_WORDS
from definitions.workflow import Workflow, parse

COMMAND: dict[str, object] = {"type": "command", "command": "true"}


@st.composite
def _graphs(draw: st.DrawFn) -> Workflow:
    count = draw(st.integers(1, 6))
    names = [f"s{index}" for index in range(count)]
    target = st.sampled_from([*names, *TARGET_WORDS])
    steps = [
        {
            "id": name,
            **COMMAND,
            "command": f"echo {{{{step_{draw(st.sampled_from(names))}.stdout}}}}",
            "on_success": draw(target),
            "on_failure": draw(target),
        }
        for name in names
    ]
    workflow, problems = parse({"name": "w", "steps": steps})
    assert workflow is not None, problems
    return workflow


def _walks(workflow: Workflow) -> list[list[str]] | None:
    """Every walk from the start, or None when one would not end."""
    done: list[list[str]] = []
    waiting = [([workflow.steps[0].id], start(workflow).frontier)]
    while waiting:
        walk, frontier = waiting.pop()
        for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            assert outcome in outcomes(workflow.step(walk[-1]))
            after = advance(workflow, frontier, frontier[0], outcome)
            if after.ended is not None:
                done.append(walk)
            elif after.target in walk:
                return None
            else:
                waiting.append(([*walk, after.target], after.frontier))
    return done


@given(_graphs())
def test_the_proof_agrees_with_walking_every_path(workflow: Workflow) -> None:
    found = prove(workflow)
    codes = {problem.code for problem in found}
    walks = _walks(workflow)
    assert ("cycle" in codes) == (walks is None)
    if walks is None:
        return
    reached = {name for walk in walks for name in walk}
    dead = {int(problem.pointer.split("/")[2]) for problem in found if problem.code == "dead-step"}
    assert dead == {index for index, step in enumerate(workflow.steps) if step.id not in reached}
    undefined = {int(p.pointer.split("/")[2]) for p in found if p.code == "not-on-every-path"}
    for index, step in enumerate(workflow.steps):
        named = step.command.split("step_")[1].split(".")[0]  # type: ignore[union-attr]
        befores = [walk[: walk.index(step.id)] for walk in walks if step.id in walk]
        assert (index in undefined) == any(named not in before for before in befores)


def _long(count: int) -> dict[str, object]:
    steps = [
        {"id": f"s{n}", **COMMAND, "command": f"echo {{{{step_s{max(0, n - 1)}.stdout}}}}" if n else "date"}
        for n in range(count)
    ]
    return {"name": "w", "steps": steps}


def _seconds(document: dict[str, object]) -> float:
    begun = time.process_time()
    workflow, problems = parse(document)
    assert workflow is not None
    assert problems + prove(workflow) == []
    return time.process_time() - begun


def test_parsing_and_proving_cost_grows_with_the_steps_and_no_faster() -> None:
    _seconds(_long(10))
    small = min(_seconds(_long(500)) for _ in range(3))
    large = min(_seconds(_long(4000)) for _ in range(2))
    assert large < small * 8 * 2.5
