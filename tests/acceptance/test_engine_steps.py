"""Steps on the engine's own host: where a worker is allowed to, they run as on any host, and never twice."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.processes import every
from tests.acceptance.conftest import LEDGER_INPUT, Ledger, note
from tests.live.databases import rows
from tests.live.stack import LiveStack, until

CANARY = "engine-canary-5b1e"


def on_engine(step: str, command: str, **more: object) -> dict[str, object]:
    return {"id": step, "type": "command", "command": command, "hosts": ["@engine"], **more}


@pytest.fixture(scope="module")
def engine(live: LiveStack) -> Iterator[LiveStack]:
    """The stack with a worker that runs steps on its own host."""
    live.worker_with(OPSGATE_ENGINE_STEPS="true")
    document = {"name": "probe", "steps": [on_engine("a", "true")]}
    until(lambda: live.admin.post("/workflows/validate", json=document).json()["valid"], 60, "the worker")
    yield live
    live.worker_with()


def test_where_no_worker_is_allowed_to_the_proof_refuses_in_words(live: LiveStack) -> None:
    document = {"name": "off", "steps": [on_engine("a", "true")]}
    refused = live.admin.put("/workflows/by-name/off", params={"publish": "true"}, json=document)
    assert refused.status_code == 422
    (problem,) = refused.json()["problems"]
    assert (problem["code"], problem["pointer"]) == ("engine-steps-off", "/steps/0/hosts/0")
    assert "OPSGATE_ENGINE_STEPS" in problem["fix"]


def test_a_step_on_the_engine_host_gives_later_steps_its_values(engine: LiveStack, ledger: Ledger) -> None:
    first = on_engine("a", f'echo \'{{"name": "{CANARY}"}}\'; echo aside >&2')
    then = {"id": "b", "type": "command", "command": 'echo "{{step_a.json.name}}" >> "{{inputs.ledger}}"'}
    engine.publish({"name": "on-engine", "inputs": LEDGER_INPUT, "steps": [first, then]})
    ended = engine.ended(engine.launch("on-engine", ["host-1"], ledger=str(ledger.path)))
    assert ended["status"] == "completed", ended["reason"]
    (job,) = ended["steps"][0]["jobs"]
    assert (job["host"], job["exit_code"], job["stderr"]) == ("@engine", 0, "aside\n")
    assert ledger.lines() == [CANARY]
    assert CANARY.encode() in rows(engine, "opsgate")
    assert CANARY.encode() not in rows(engine, "prefect")


def test_a_step_whose_worker_is_killed_is_interrupted_and_not_run_again(
    engine: LiveStack, ledger: Ledger
) -> None:
    command = 'echo begun >> "{{inputs.ledger}}"; exec sleep 4711'
    steps = [on_engine("a", command, on_failure="mend"), {**note("mend"), "on_success": "fail"}]
    engine.publish({"name": "killed", "inputs": LEDGER_INPUT, "steps": steps})
    number = engine.launch("killed", ["host-1"], ledger=str(ledger.path))
    until(ledger.lines, 60, "the step to begin")
    engine.kill("worker")
    ended = engine.ended(number, 90)
    (job,) = ended["steps"][0]["jobs"]
    assert (job["status"], job["attempt"], job["reason"]) == ("failed", 1, "The worker that ran it is gone.")
    assert ledger.lines() == ["begun", f"{number} mend"]
    until(lambda: not lives("4711"), 30, "its processes to be gone")


def test_a_step_that_is_cancelled_ends_there_too(engine: LiveStack, ledger: Ledger) -> None:
    command = 'echo begun >> "{{inputs.ledger}}"; exec sleep 4712'
    engine.publish({"name": "stopped", "inputs": LEDGER_INPUT, "steps": [on_engine("a", command)]})
    number = engine.launch("stopped", ["host-1"], ledger=str(ledger.path))
    until(ledger.lines, 60, "the step to begin")
    assert engine.admin.post(f"/instances/{number}/cancel").status_code == 200
    assert engine.ended(number)["status"] == "cancelled"
    until(lambda: not lives("4712"), 30, "its processes to be gone")


def lives(word: str) -> bool:
    """Whether a process of this machine has this word in its arguments."""
    for process in every():
        with suppress(OSError):
            if word.encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0"):
                return True
    return False
