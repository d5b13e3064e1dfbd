"""What the acceptance tests share: a ledger file and the workflow that writes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.stack import LiveStack


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """The whole stack with one agent on the host `host-1`, until a worker leaves this folder."""
    stack = LiveStack(tmp_path_factory.mktemp("live"))
    stack.start()
    try:
        stack.add_agent("host-1")
        yield stack
    finally:
        stack.stop()


class Ledger:
    """A file to which every job appends one line: what ran, and how often."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def note(step: str, seconds: float = 0) -> dict[str, Any]:
    """A step whose job appends its own name to the ledger."""
    pause = f"sleep {seconds}; " if seconds else ""
    return {
        "id": step,
        "type": "command",
        "command": f'{pause}echo "{{{{instance.id}}}} {step}" >> "{{{{inputs.ledger}}}}"',
    }


def breaks(step: str) -> dict[str, Any]:
    """A step that notes its name, and fails until the file `inputs.mended` exists."""
    notes = note(step)["command"]
    return {**note(step), "command": f'{notes}; test -e "{{{{inputs.mended}}}}"'}


GATE = {
    "id": "gate",
    "type": "approval",
    "title": "Go on?",
    "approvers": ["bob"],
    "timeout_minutes": 60,
}

LEDGER_INPUT = [{"name": "ledger", "type": "string", "required": True}]
MENDED_INPUT = [*LEDGER_INPUT, {"name": "mended", "type": "string", "required": True}]


FLEET = ["host-1", "host-2", "host-3"]


def once(mark: str) -> str:
    """A command that fails the first time it runs, on whichever host, and never again."""
    return f'test -e "{mark}" || {{ touch "{mark}"; exit 7; }}'


@pytest.fixture(scope="package")
def fleet(live: LiveStack) -> LiveStack:
    """Two more hosts with agents."""
    for name in FLEET[1:]:
        live.add_agent(name)
    return live


@pytest.fixture(scope="package")
def rolling(fleet: LiveStack) -> LiveStack:
    """A delay, then one host after the other, the first of which fails once, then one more job."""
    wait = {"id": "d", "type": "delay", "seconds": 1}
    command = f"{note('a')['command']}; {once('{{inputs.ledger}}.once')}"
    wave = {**note("a"), "command": command, "hosts": FLEET[:2], "max_parallel": 1, "retries": 1}
    steps = [wait, {**wave, "retry_delay_seconds": 1}, note("b")]
    fleet.publish({"name": "rolling", "inputs": LEDGER_INPUT, "steps": steps})
    return fleet


@pytest.fixture(scope="package")
def workflows(live: LiveStack) -> LiveStack:
    """Three jobs in a row; the same with a gate before the last; one long job; two branches; and what
    fails until it is mended, in a row and in a branch."""
    live.publish({"name": "three", "inputs": LEDGER_INPUT, "steps": [note("a"), note("b"), note("c")]})
    live.publish({"name": "gated", "inputs": LEDGER_INPUT, "steps": [note("a"), GATE, note("b"), note("c")]})
    live.publish({"name": "slow", "inputs": LEDGER_INPUT, "steps": [note("a", 3), note("b")]})
    branches = [{"steps": [note("b", 3), note("c")]}, {"steps": [note("d", 1)]}]
    fork = {"id": "p", "type": "parallel", "branches": branches}
    live.publish({"name": "branched", "inputs": LEDGER_INPUT, "steps": [fork, note("z")]})
    live.publish({"name": "breaking", "inputs": MENDED_INPUT, "steps": [note("a"), breaks("b"), note("c")]})
    broken = {"id": "p", "type": "parallel", "branches": [{"steps": [note("a")]}, {"steps": [breaks("b")]}]}
    live.publish({"name": "breaking-branch", "inputs": MENDED_INPUT, "steps": [broken, note("c")]})
    return live
