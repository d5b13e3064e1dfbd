"""How long a definition takes to read and to prove, by its number of steps and by its shape.

In one process, no server: the proof is pure. The figures are of processor time; how the cost grows is given
in calls of functions as well, which neither the processor's caches nor the collector of garbage change.
"""

import cProfile
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.figure import OURS, Figure, of
from benchmarks.measure import spread
from definitions.proof import prove
from definitions.workflow import parse

SIZES = (100, 300, 1_000, 3_000, 10_000)
Steps = list[dict[str, Any]]


def _command(step: str, *reads: str) -> dict[str, Any]:
    text = " ".join(f"{{{{step_{one}.stdout}}}}" for one in reads)
    return {"id": step, "type": "command", "command": f"echo {text}".rstrip()}


def chain(count: int) -> Steps:
    """Each step reads the one before it."""
    return [_command("s0"), *(_command(f"s{n}", f"s{n - 1}") for n in range(1, count))]


def wide(count: int) -> Steps:
    """Parallel steps of fifty branches; the command after each reads all of them."""
    steps: Steps = []
    for number in range(max(1, count // 52)):
        names = [f"p{number}b{branch}" for branch in range(50)]
        branches = [{"steps": [_command(name)]} for name in names]
        steps.append({"id": f"p{number}", "type": "parallel", "branches": branches})
        steps.append(_command(f"after{number}", *names))
    return steps


def conditions(count: int) -> Steps:
    """Every other step is a condition, no two of them alike, that may leap over the next."""
    steps: Steps = [_command("s0")]
    for number in range(1, count - 1, 2):
        asked = f"{{{{step_s{number - 1}.exit_code}}}} < {number} && {{{{step_s0.stdout}}}} != 'n{number}'"
        jump = {"on_true": "continue", "on_false": "continue", "on_failure": "end"}
        steps.append({"id": f"c{number}", "type": "condition", "condition": asked, **jump})
        steps.append(_command(f"s{number + 1}"))
    return steps


def reading(count: int) -> Steps:
    """Every step reads eight others, near and far."""

    def others(number: int) -> dict[str, None]:
        distances = [number * part // 8 + 1 for part in range(8)]
        return dict.fromkeys(f"s{number - each}" for each in distances if each <= number)

    return [_command(f"s{number}", *others(number)) for number in range(count)]


def undefined(count: int) -> Steps:
    """Every other step reads what one path has leapt over: as many refusals, each with its path."""
    steps: Steps = []
    for number in range(0, count - 2, 2):
        steps.append({**_command(f"s{number}"), "on_failure": f"s{number + 2}"})
        steps.append(_command(f"t{number}", *([f"t{number - 2}"] if number else [])))
    return [*steps, _command(f"s{len(steps)}")]


SHAPES: dict[str, Callable[[int], Steps]] = {
    "chain": chain,
    "wide": wide,
    "conditions": conditions,
    "reading": reading,
    "undefined": undefined,
}


def _seconds(steps: Steps, repeats: int) -> tuple[list[float], list[float]]:
    """Of reading, and of proving, as often."""
    read: list[float] = []
    proved: list[float] = []
    for _ in range(repeats):
        gc.collect()
        began = time.process_time()
        workflow, problems = parse({"name": "bench", "steps": steps})
        half = time.process_time()
        if workflow is None:
            raise RuntimeError(f"the benchmark's own definition is wrong: {problems[:3]}")
        prove(workflow)
        read.append(half - began)
        proved.append(time.process_time() - half)
    return read, proved


def _growth(by_size: Sequence[tuple[int, float]]) -> float:
    """By how much a step costs more in the largest than in a definition of 1,000 steps: of the fastest run of
    each, since whatever else the machine does only ever adds."""
    costs = {size: seconds / size for size, seconds in by_size}
    return costs[max(costs)] / costs[1_000]


def _calls(steps: Steps) -> float:
    """Calls of functions that proving makes, for each step."""
    workflow, _ = parse({"name": "bench", "steps": steps})
    if workflow is None:
        raise RuntimeError("the benchmark's own definition is wrong")
    with cProfile.Profile() as profile:
        prove(workflow)
    return sum(entry.callcount for entry in profile.getstats()) / len(steps)


async def measure(quick: bool) -> list[Figure]:
    """Every figure of this part."""
    figures: list[Figure] = []
    for shape, make in SHAPES.items():
        by_size: list[tuple[int, float]] = []
        for size in SIZES[:3] if quick else SIZES:
            steps = make(size)
            read, proved = _seconds(steps, 3 if quick or size > 3_000 else 9)
            by_size.append((size, min(proved)))
            figures.append(of(f"proof, {shape}, {size:,} steps", OURS, spread(proved), "s"))
            if size == 1_000:
                figures.append(of(f"reading, {shape}, {size:,} steps", OURS, spread(read), "s"))
        if not quick:
            name = f"proof, {shape}, a step in the largest"
            figures.append(Figure(name, OURS, _growth(by_size), "x of one in 1,000"))
            calls = _calls(make(SIZES[-1])) / _calls(make(1_000))
            figures.append(Figure(f"{name}, in calls", OURS, calls, "x of one in 1,000"))
    return figures
