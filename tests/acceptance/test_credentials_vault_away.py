"""The stack's vault is sealed, hangs or is gone while workflows want credentials.

What wants one fails in words after a number of tries, or is done when the vault is back in time; nothing
else is held up, and nothing stays checked out.
"""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live.databases import execute
from tests.live.known_as import makes, rotated
from tests.live.sizes import CHAOS
from tests.live.stack import LiveStack, until
from tests.live.vault import vault_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600 if CHAOS else 240)]

SAID = {
    "sealed": "is sealed",
    "hangs": "did not finish its answer within 5 s|does not answer in time",
    "gone": "does not answer: nothing listens there",
}
_LAST_TRY = """UPDATE jobs SET credential_tries = 6, claim_after = now()
    WHERE instance_id = $1 AND status = 'queued'"""
_NEXT_TRY = "UPDATE jobs SET claim_after = now() WHERE instance_id = $1 AND status = 'queued'"


@contextmanager
def away(live: LiveStack, how: str) -> Iterator[None]:
    vault, processes = vault_of(live), live.stack.processes
    if how == "sealed":
        assert vault.ask("PUT", "/sys/seal").status_code == 204
    elif how == "hangs":
        live.kill("vault", signal.SIGSTOP)
    else:
        child = processes.child("vault")
        live.call(processes.remove("vault"))
    try:
        yield
    finally:
        if how == "sealed":
            live.kill("vault")  # unsealed by its next start
        elif how == "hangs":
            live.kill("vault", signal.SIGCONT)
        else:
            live.call(processes.start(child))
        until(vault.answers, 60, "the vault to be back")


def says_why(live: LiveStack, number: int, how: str) -> None:
    """Until a job of the instance does."""

    def said() -> bool:
        jobs: list[dict[str, Any]] = live.admin.get("/jobs", params={"instance": number}).json()["items"]
        return any(re.search(SAID[how], str(job["waits"])) for job in jobs)

    until(said, 60, "the job to say why it waits", live, number)


@pytest.mark.parametrize("how", SAID)
def test_a_step_fails_by_the_vaults_reason_or_is_done_later_and_others_go_on(
    live: LiveStack, tmp_path: Path, how: str
) -> None:
    """Under `./run chaos` the pauses between the tries are waited for; in the suite time passes."""
    with makes(live, tmp_path) as make:
        one, other = (make.one("role", "host-1") for _ in range(2))
        for known in (one, other):
            out = {"id": "out", "type": "pam_checkout", "identity": known.name, "variable_name": "who"}
            use = {"id": "use", "type": "command", "command": known.log_in, "run_as": "{{who}}"}
            live.publish({"name": known.name, "steps": [out, use, {"id": "in", "type": "pam_checkin"}]})
        live.publish({"name": "plain", "steps": [{"id": "use", "type": "command", "command": "true"}]})
        with away(live, how):
            given_up = live.launch(one.name, ["host-1"])
            says_why(live, given_up, how)
            if not CHAOS:
                execute(live, _LAST_TRY, given_up)
            beside = live.ended(live.launch("plain", ["host-1"]))
            assert beside["status"] == "completed"
            failed = live.ended(given_up, 240 if CHAOS else 60)
            assert failed["status"] == "failed"
            assert re.search(SAID[how], failed["reason"]), failed["reason"]
            patient = live.launch(other.name, ["host-1"])
            says_why(live, patient, how)
        execute(live, _NEXT_TRY, patient)
        assert live.ended(patient)["status"] == "completed"
        assert not one.notes.exists(), "nothing has logged in"
        assert other.notes.read_text() == f"{other.user}\n"

        rotated(live, [one, other])
        for known in (one, other):
            (row,) = live.admin.get("/checkouts", params={"identity": known.name}).json()["items"]
            assert row["status"] == "ended"
            assert (known.lets_in(known.current()), known.lets_in(known.first)) == (True, False)
