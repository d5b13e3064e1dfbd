"""How a step's work is spread over its hosts: who begins, who tries again, who is stopped, when it is over.

Decides anew each time, from how the hosts stand; the engine carries it out. Nothing is remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from definitions.lifecycles.job import ENDED, RETRYABLE, JobStatus
from definitions.steps import JobStep
from definitions.steps.step import YEAR_SECONDS, StepFields


@dataclass(frozen=True)
class Standing:
    """How one host of the step stands."""

    status: str | None = None
    """Its job's; None: it has none yet."""
    attempt: int = 1
    stopping: bool = False
    """Its job runs, and was asked to stop."""
    gone: bool = False
    """Decommissioned: it gets no job any more."""


@dataclass(frozen=True)
class Decision:
    """What is to be done now; hosts by their position."""

    start: tuple[int, ...]
    """They get their job."""
    again: dict[int, float]
    """They get another attempt, after so many seconds."""
    stop: tuple[int, ...]
    """Their jobs are cancelled."""
    over: bool
    """Nothing runs, and nothing is to begin."""
    halted: str
    """Why nothing begins any more, in a sentence; empty while it may."""

    @property
    def acts(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.start or self.again or self.stop)


def decide(step: JobStep, hosts: Sequence[Standing], *, expired: bool) -> Decision:
    """What follows from how the hosts stand; `expired`: the step's deadline has passed.

    Running jobs come first, then further attempts, then hosts that have not begun, in target order: a host
    that waits for its next attempt keeps its place in the wave.
    """
    halted = _halted(step, hosts, expired)
    unfinished = [at for at, host in enumerate(hosts) if host.status is not None and host.status not in ENDED]
    again: dict[int, float] = {}
    fresh: list[int] = []
    if not halted:
        tried = [at for at, host in enumerate(hosts) if _may_retry(step, host)]
        again = {at: pause_before(step, hosts[at].attempt + 1) for at in tried}
        fresh = [at for at, host in enumerate(hosts) if host.status is None and not host.gone]
    if step.max_parallel is not None:
        fresh = fresh[: max(0, step.max_parallel - len(unfinished) - len(again))]
    stop = [at for at in unfinished if halted and not hosts[at].stopping and (expired or _waits(hosts[at]))]
    over = not (unfinished or again or fresh)
    return Decision(tuple(fresh), again, tuple(stop), over, halted)


def pause_before(step: StepFields, attempt: int) -> float:
    """Seconds between the end of an attempt and the one of that number (2 is the first retry)."""
    longest = float(YEAR_SECONDS if step.retry_max_delay_seconds is None else step.retry_max_delay_seconds)
    pause = float(step.retry_delay_seconds)
    for _ in range(attempt - 2):
        if pause >= longest:
            break
        pause *= float(step.retry_backoff)
    return min(pause, longest)


def limit_in_words(step: StepFields) -> str:
    """How long the step may take: `within 90 seconds`, `within 5 minutes`."""
    minutes = float(step.timeout_minutes or 0)
    if minutes < 2 and minutes != 1:
        return f"within {minutes * 60:g} seconds"
    return f"within {minutes:g} minute{'' if minutes == 1 else 's'}"


def not_in_time(step: StepFields) -> str:
    """What is said of a step that its deadline ended."""
    return f"It was not over {limit_in_words(step)}."


def _halted(step: JobStep, hosts: Sequence[Standing], expired: bool) -> str:
    if expired:
        return not_in_time(step)
    ended = [host for host in hosts if _failed(step, host)]
    if step.max_failures is None or len(ended) < (most := max(1, step.max_failures)):
        return ""
    by_themselves = sum(host.status != JobStatus.CANCELLED for host in ended)
    failed = by_themselves if by_themselves >= most else len(ended)  # what it stops itself is no reason to
    return f"{failed} of {len(hosts)} hosts failed, and that stops the step (`max_failures`)."


def _may_retry(step: JobStep, host: Standing) -> bool:
    """Whether the host has failed, is still there, and has attempts left."""
    return host.status in RETRYABLE and host.attempt <= step.retries and not host.gone


def _failed(step: JobStep, host: Standing) -> bool:
    """Whether the host has failed for good."""
    if host.status is None:
        return host.gone
    return host.status in ENDED and host.status != JobStatus.COMPLETED and not _may_retry(step, host)


def _waits(host: Standing) -> bool:
    """Whether its job has failed before and waits for the next attempt."""
    return host.status == JobStatus.QUEUED and host.attempt > 1
