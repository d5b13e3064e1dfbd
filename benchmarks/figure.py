"""One measured figure, and the aims: the only place that says what is good enough."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.measure import Spread

OURS = "Opsgate"
REAL_AGENT = "Opsgate, real agent"
TEMPORAL = "Temporal dev server"
BARE = "Prefect flow in-process"
STOCK = "Prefect process worker"
PROCRASTINATE = "procrastinate in-process"
PGBENCH = "bare SQL in pgbench"
WHO = (OURS, REAL_AGENT, TEMPORAL, BARE, STOCK, PROCRASTINATE, PGBENCH)
"""The columns of the table, in this order."""


@dataclass(frozen=True)
class Figure:
    """What was measured, of whom, and how much it was."""

    name: str
    who: str
    value: float
    unit: str
    p90: float | None = None
    samples: int = 1
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self)


def of(name: str, who: str, measured: Spread, unit: str, note: str = "") -> Figure:
    """A figure from a spread."""
    return Figure(name, who, measured.median, unit, measured.p90, measured.samples, note)


Values = Mapping[str, float]
"""Of one figure: who -> value."""


@dataclass(frozen=True)
class Aim:
    """What a figure of ours should be; `met` answers None when a peer it is held against is missing."""

    text: str
    met: Callable[[Values], bool | None]


def _below(limit: float) -> Callable[[Values], bool | None]:
    return lambda values: values[OURS] < limit if OURS in values else None


def _against(peer: str, good: Callable[[float, float], bool]) -> Callable[[Values], bool | None]:
    return lambda values: good(values[OURS], values[peer]) if OURS in values and peer in values else None


def _both(*parts: Callable[[Values], bool | None]) -> Callable[[Values], bool | None]:
    def met(values: Values) -> bool | None:
        answers = [part(values) for part in parts]
        if False in answers:
            return False
        return None if None in answers else True

    return met


AIMS: dict[str, Aim] = {
    "time per step": Aim("under Temporal's", _against(TEMPORAL, lambda ours, peer: ours < peer)),
    "workflows/s, 10 at once": Aim(
        "0.9 of in-process, 10x process worker",
        _both(
            _against(BARE, lambda ours, peer: ours >= 0.9 * peer),
            _against(STOCK, lambda ours, peer: ours >= 10 * peer),
        ),
    ),
    "workflows/s, 20 at once": Aim(
        "0.9 of in-process", _against(BARE, lambda ours, peer: ours >= 0.9 * peer)
    ),
    "start call to first job": Aim("under 0.5 s", _below(0.5)),
    "decision to next job": Aim("under 0.5 s", _below(0.5)),
    "CPU while 1,000 wait": Aim("under 2 % of a core", _below(2.0)),
    "CPU while 10,000 wait": Aim("under 2 % of a core", _below(2.0)),
    "decision to next job, 1,000 wait": Aim("under 0.5 s", _below(0.5)),
    "decision to next job, 10,000 wait": Aim("under 0.5 s", _below(0.5)),
    "jobs/s, claimed and completed": Aim(
        "above procrastinate, a third of the bare SQL",
        _both(
            _against(PROCRASTINATE, lambda ours, peer: ours > peer),
            _against(PGBENCH, lambda ours, peer: ours >= peer / 3),
        ),
    ),
    "claim beside 1,000,000 finished jobs": Aim("at most 1.2 x of an empty table", _below(1.2)),
    "opsgate --help": Aim("under 0.3 s", _below(0.3)),
    "run demo --auto-approve, warm": Aim("under 30 s", _below(30.0)),
    **{
        f"proof, {shape}, 1,000 steps": Aim("under 100 ms", _below(0.1))
        for shape in ("chain", "wide", "conditions", "reading", "undefined")
    },
    **{
        f"proof, {shape}, a step in the largest{what}": Aim("linear: at most 1.5 x", _below(1.5))
        for shape in ("chain", "wide", "conditions", "reading", "undefined")
        for what in ("", ", in calls")
    },
}
"""By the name of the figure."""
