"""Which module runs which step kind. A kind that is missing here can't be published."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tasks import approval, command, condition, delay, pam_checkin, pam_checkout, parallel, script
from tasks.step_run import Settled, StepRun, Waiting


@dataclass(frozen=True)
class Kind:
    """How a step of this kind starts, and how it is found to be over."""

    begin: Callable[[StepRun], Awaitable[Settled | Waiting]]
    settle: Callable[[StepRun], Awaitable[Settled | Waiting]]


KINDS: dict[str, Kind] = {
    "script": Kind(script.begin, script.settle),
    "command": Kind(command.begin, command.settle),
    "approval": Kind(approval.begin, approval.settle),
    "condition": Kind(condition.begin, condition.begin),
    "delay": Kind(delay.begin, delay.settle),
    "pam_checkout": Kind(pam_checkout.begin, pam_checkout.settle),
    "pam_checkin": Kind(pam_checkin.begin, pam_checkin.settle),
    "parallel": Kind(parallel.begin, parallel.settle),
}
