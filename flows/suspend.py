"""Suspends the current flow run with Prefect's input form.

Prefect's own `suspend_flow_run` commits the Suspended state first and saves the form after it:
a resume in between is refused, and a crash in between leaves a run that can't be resumed. Here
the form is saved first, under the same keys (`prefect/input/run_input.py`, keyset_from_paused_state).
"""

from enum import StrEnum
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import Abort
from prefect.flow_runs import Pause  # type: ignore[attr-defined]  # Prefect re-exports it undeclared
from prefect.input import RunInput
from prefect.input.run_input import keyset_from_paused_state
from prefect.states import Suspended
from prefect.utilities.engine import propose_state
from pydantic import Field


class Decision(StrEnum):
    """What a person may answer. No default: an empty resume is refused by Prefect's validation."""

    APPROVE = "approve"
    REJECT = "reject"


class GateForm(RunInput):
    """The form of a gate. An answer here counts only through Opsgate's own sign-in."""

    decision: Decision = Field(description="Your decision")
    comment: str = Field(description="Why", max_length=2000)


class NoteForm(RunInput):
    """The form of a wait on jobs or time: answering only makes the flow look again."""

    note: str = Field(description="Look again now", max_length=200)


class NotSuspended(Exception):
    """Prefect did not take the suspension: the run was cancelled, deleted, or set going meanwhile."""


async def suspend(
    client: PrefectClient, flow_run_id: UUID, number: int, form: type[RunInput], text: str
) -> None:
    """Suspend under the key `park-<number>`; always raises: `Pause` when suspended, else `NotSuspended`."""
    proposed: Any = Suspended(pause_key=f"park-{number}")
    keyset = keyset_from_paused_state(proposed)
    proposed.state_details.run_input_keyset = keyset
    await form.with_initial_data(description=text).asave(keyset, flow_run_id)
    try:
        state = await propose_state(client, proposed, flow_run_id=flow_run_id)
    except Abort as abort:
        raise NotSuspended(str(abort)) from abort
    if not state.is_paused():
        raise NotSuspended(f"Prefect has the run in the state {state.name}.")
    raise Pause(state=state)
