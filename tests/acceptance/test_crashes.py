"""The worker dies at every point where something could be lost: nothing is, and nothing runs twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store.failpoints import POINTS
from tests.acceptance.conftest import Ledger
from tests.live.sizes import CHAOS
from tests.live.stack import LiveStack, until


@contextmanager
def killed_at(point: str, live: LiveStack) -> Iterator[None]:
    """The worker dies when it comes to this point, and it does come there."""
    # Parking on a job needs a wait that is over before the job is.
    parked = point == "worker.parked"
    if parked:
        live.worker_with(OPSGATE_HOT_SECONDS="0.2")
    try:
        with live.killed_at(point) as hit:
            yield
            until(hit, 10, f"the failpoint {point} to be hit")
    finally:
        if parked:
            live.worker_with()


def run_killed_at(point: str, workflow: str, live: LiveStack, ledger: Ledger) -> int:
    """Run a workflow whose worker dies at that point; its number, once it has completed all the same."""
    with killed_at(point, live):
        number = live.launch(workflow, ["host-1"], ledger=str(ledger.path))
        ended = live.ended(number, 90)
    assert ended["status"] == "completed", ended["reason"]
    return number


ROLLING = ("worker.wave_dispatched", "worker.retry_queued", "worker.delay_begun")
"""Points that only a step in waves, one that tries again, or a delay comes by."""

ELSEWHERE = {
    "worker.forked",
    "worker.cancelling",
    "worker.resumed",
    "worker.deadline_passed",
    "worker.checkout_requested",
    "worker.checked_in",
    "web.credential_read",
}
"""Points that nothing passes which only runs, step after step, to its end. The one at a deadline is tested
where the step is moved by hand: `tests/tasks/test_host_jobs.py`; the web's in `test_run_as_identities.py`."""


ROTATING = {point for point in POINTS if point.startswith("rotation.")}
"""Points of no step: `tests/acceptance/test_rotation.py`."""


@pytest.mark.parametrize("point", sorted(POINTS.keys() - ELSEWHERE - ROTATING - {*ROLLING}))
def test_a_killed_worker_loses_nothing_and_repeats_nothing(
    workflows: LiveStack, ledger: Ledger, point: str
) -> None:
    number = run_killed_at(point, "slow", workflows, ledger)
    assert ledger.lines() == [f"{number} a", f"{number} b"]


BRANCHES = ("worker.forked", "worker.parked", *(("worker.woken", "worker.between_steps") if CHAOS else ()))
"""Where it matters that others run beside; at the other points a step in a branch is as any."""


@pytest.mark.parametrize("point", BRANCHES)
def test_branches_lose_nothing_and_repeat_nothing_either(
    workflows: LiveStack, ledger: Ledger, point: str
) -> None:
    number = run_killed_at(point, "branched", workflows, ledger)
    ran = ledger.lines()
    assert sorted(ran) == [f"{number} {name}" for name in "bcdz"]
    assert ran[-1] == f"{number} z"


@pytest.mark.parametrize("point", [*ROLLING, *(["worker.parked", "worker.woken"] if CHAOS else [])])
def test_delays_waves_and_further_attempts_lose_nothing_and_repeat_nothing(
    rolling: LiveStack, ledger: Ledger, point: str
) -> None:
    number = run_killed_at(point, "rolling", rolling, ledger)
    assert ledger.lines() == [f"{number} {name}" for name in "aaab"]
    wave = next(step for step in rolling.instance(number)["steps"] if step["step_id"] == "a")
    assert [(job["host"], job["attempt"]) for job in wave["jobs"]] == [("host-1", 2), ("host-2", 1)]


@pytest.mark.parametrize("point", ["worker.cancelling", *(["worker.ended"] if CHAOS else [])])
def test_a_worker_killed_in_a_cancel_leaves_nothing_running(
    workflows: LiveStack, ledger: Ledger, point: str
) -> None:
    with killed_at(point, workflows):
        number = workflows.launch("slow", ["host-1"], ledger=str(ledger.path))
        until(lambda: workflows.instance(number)["steps"], 60, "the first step to begin")
        assert workflows.admin.post(f"/instances/{number}/cancel").status_code == 200
        ended = workflows.ended(number, 90)
    assert (ended["status"], [step["step_id"] for step in ended["steps"]]) == ("cancelled", ["a"])
    jobs = workflows.admin.get("/jobs", params={"instance": number}).json()["items"]
    until(lambda: workflows.admin.get(f"/jobs/{jobs[0]['id']}").json()["ended_at"], 30, "its job to end")
    assert f"{number} b" not in ledger.lines()


@pytest.mark.parametrize(
    ("point", "workflow"), [("worker.ended", "breaking"), ("worker.resumed", "breaking-branch")]
)
def test_a_worker_killed_before_or_in_a_resume_loses_nothing_and_repeats_nothing(
    workflows: LiveStack, ledger: Ledger, tmp_path: Path, point: str, workflow: str
) -> None:
    mended = tmp_path / "mended"
    with killed_at(point, workflows):
        number = workflows.launch(workflow, ["host-1"], ledger=str(ledger.path), mended=str(mended))
        assert workflows.ended(number, 90)["status"] == "failed"
        mended.touch()
        assert workflows.admin.post(f"/instances/{number}/resume").status_code == 200
        ended = workflows.ended(number, 90)
    assert ended["status"] == "completed", ended["reason"]
    ran = [line.split()[1] for line in ledger.lines()]
    assert (sorted(ran), ran[-2:]) == (["a", "b", "b", "c"], ["b", "c"])


def test_a_worker_killed_while_a_gate_is_open_is_not_missed(workflows: LiveStack, ledger: Ledger) -> None:
    number = workflows.launch("gated", ["host-1"], ledger=str(ledger.path))
    gate = workflows.gate(number)
    workflows.kill("worker")
    assert workflows.vote(gate).status_code == 200
    assert workflows.ended(number, 60)["status"] == "completed"
    assert ledger.lines() == [f"{number} a", f"{number} b", f"{number} c"]


def test_a_worker_that_is_asked_to_stop_parks_its_work_first(workflows: LiveStack, ledger: Ledger) -> None:
    number = workflows.launch("slow", ["host-1"], ledger=str(ledger.path))
    until(lambda: workflows.instance(number)["steps"], 60, "the first step to begin")
    workflows.worker_with()
    ended = workflows.ended(number, 60)
    assert ended["status"] == "completed"
    assert ledger.lines() == [f"{number} a", f"{number} b"]
    with workflows.prefect() as prefect:
        states = prefect.get("/flow_run_states/", params={"flow_run_id": ended["flow_run_id"]}).json()
    assert "CRASHED" not in {state["type"] for state in states}
