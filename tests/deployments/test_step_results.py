"""What `opsgate instance show` says of a step on several hosts."""

from typing import Any

import pytest

from deployments.cli.instance import print_steps


def shown(capsys: pytest.CaptureFixture[str], **fields: Any) -> str:
    step = {"step_id": "a", "visit": 1, "kind": "command", "status": "running", "jobs": [], **fields}
    print_steps({"steps": [step]})
    return " ".join(capsys.readouterr().out.split())


def test_a_host_that_has_not_begun_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "web-3: not started" in shown(capsys, not_started=[{"id": 3, "name": "web-3"}])


def test_a_further_attempt_says_its_number_and_when_it_begins(capsys: pytest.CaptureFixture[str]) -> None:
    waits = "Attempt 2 begins soon."
    job = {"host": "web-1", "status": "queued", "attempt": 2, "exit_code": None, "stdout": "", "waits": waits}
    assert f"web-1 attempt 2 queued: {waits}" in shown(capsys, jobs=[job])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status": "active", "deadline": "2027-01-31T08:00"}, "active until 2027-01-31T08:00"),
        ({"status": "requested", "waits": "Waits until it is free."}, "requested. Waits until it is free"),
        ({"status": "ended", "end_reason": "Checked in by step in."}, "ended. Checked in by step in"),
    ],
)
def test_a_checkout_says_whose_it_is_and_how_it_stands(
    capsys: pytest.CaptureFixture[str], fields: dict[str, Any], said: str
) -> None:
    checkout = {"id": 7, "identity": "dba", "username": "app", "waits": None, "end_reason": "", **fields}
    assert f"dba (checkout 7, as app): {said}" in shown(capsys, checkout=checkout)
