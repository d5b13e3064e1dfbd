"""A recurring job in the whole stack: Prefect's own scheduler, the warm worker, the agent on its host."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prefect.client.orchestration import PrefectClient

from flows import schedules
from tests.live.sizes import CHAOS
from tests.live.stack import LiveStack, until

TICK = "often"


def shown(live: LiveStack, name: str = TICK) -> dict[str, Any]:
    found: dict[str, Any] = live.admin.get(f"/recurring-jobs/{name}").raise_for_status().json()
    return found


def ticks(live: LiveStack, kind: str, name: str = TICK) -> list[dict[str, Any]]:
    items = live.admin.get(f"/recurring-jobs/{name}/ticks").raise_for_status().json()["items"]
    return [tick for tick in items if tick["kind"] == kind]


def active(prefect: httpx2.Client, deployment: str) -> bool:
    """Whether the switch that Prefect's pages show is on."""
    (schedule,) = prefect.get(deployment).raise_for_status().json()["schedules"]
    on: bool = schedule["active"]
    return on


def children(live: LiveStack) -> list[dict[str, Any]]:
    items = live.admin.get(f"/recurring-jobs/{TICK}/children").raise_for_status().json()["items"]
    found: list[dict[str, Any]] = items
    return found


def ended_as(prefect: httpx2.Client, deployment: str, at: datetime) -> set[str]:
    """How the runs that Prefect made for this instant by itself have ended: names of their states."""
    asked = {"deployments": {"id": {"any_": [deployment.rpartition("/")[2]]}}}
    found = prefect.post("/flow_runs/filter", json=asked).raise_for_status().json()
    ended = [run for run in found if run["auto_scheduled"] and run["end_time"]]
    return {run["state_name"] for run in ended if datetime.fromisoformat(run["expected_start_time"]) == at}


@pytest.mark.timeout(240)
def test_a_minute_tick_of_prefect_runs_a_job_on_the_host(live: LiveStack, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    job = {"type": "command", "hosts": ["host-1"], "payload": {"command": f"echo tick >> {ledger}"}}
    # What is due sooner than Prefect comes to schedule it would be the keeper's.
    until(lambda: datetime.now(UTC).second < 40, 30, "the first part of a minute")
    made = live.admin.post(
        "/recurring-jobs", json={"name": TICK, "cron": "* * * * *", "max_recurrences": 1, "job": job}
    )
    assert made.status_code == 201, made.text
    until(lambda: shown(live)["deployment_id"] is not None, 30, "the deployment")
    deployment = f"/deployments/{shown(live)['deployment_id']}"
    with live.prefect() as prefect:
        assert prefect.get(deployment).json()["schedules"][0]["schedule"]["timezone"] == "UTC"

        # Somebody starts it there: a tick by hand.
        asked = prefect.post(f"{deployment}/create_flow_run", json={})
        assert asked.status_code == 201, asked.text
        until(lambda: len(ticks(live, "manual")) == 1, 30, "the tick that Prefect asked for")
        (tick,) = ticks(live, "manual")
        assert (tick["outcome"], tick["fired_by"]) == ("ran", "Prefect")

        # Its own schedule fires it, once, which is its limit.
        until(lambda: shown(live)["recurrences"] == 1, 90, "the tick of the next minute")
        until(lambda: all(job["status"] == "completed" for job in children(live)), 60, "the jobs")
        (tick,) = ticks(live, "cron")
        (child,) = [job for job in children(live) if job["id"] in tick["jobs"]]
        at = datetime.fromisoformat(tick["at"])
        late = datetime.fromisoformat(child["claimed_at"]) - at
        print(f"\nfrom the tick's instant to the claim on the host: {late.total_seconds():.3f} s")
        until(lambda: ended_as(prefect, deployment, at), 30, "Prefect's run of that tick to end")
        assert ended_as(prefect, deployment, at) == {"Ran"}, "the keeper had to answer it"
        assert ledger.read_text() == "tick\ntick\n"

        # At the limit it says so, and nothing is scheduled any more.
        assert shown(live)["stopped"] == "It has run once, which is its limit."
        until(lambda: not active(prefect, deployment), 30, "the schedule to be off")
        waiting = {"deployments": {"id": {"any_": [deployment.rpartition("/")[2]]}}}
        waiting["flow_runs"] = {"state": {"type": {"any_": ["SCHEDULED"]}}}
        until(lambda: prefect.post("/flow_runs/count", json=waiting).json() == 0, 30, "no run to wait")


def test_a_pause_in_prefect_disables_it_here_and_its_end_enables_it(live: LiveStack) -> None:
    job = {"type": "command", "hosts": ["host-1"], "payload": {"command": "true"}}
    body = {"name": "yearly", "cron": "0 0 1 1 *", "job": job}
    assert live.admin.post("/recurring-jobs", json=body).status_code == 201

    def here() -> dict[str, Any]:
        return shown(live, "yearly")

    until(lambda: here()["deployment_id"] is not None, 30, "the deployment")
    deployment = f"/deployments/{here()['deployment_id']}"
    with live.prefect() as prefect:
        prefect.post(f"{deployment}/pause_deployment").raise_for_status()
        until(lambda: not here()["enabled"], 30, "the pause to be seen")
        assert (here()["disabled_by"], here()["next_run_at"]) == ("Prefect", None)
        prefect.post(f"{deployment}/resume_deployment").raise_for_status()
        until(lambda: here()["enabled"], 30, "the end of the pause to be seen")

        # So does the switch of its schedule, which is what Prefect's own pages have.
        (schedule,) = prefect.get(deployment).json()["schedules"]
        switch = f"{deployment}/schedules/{schedule['id']}"
        for on in (False, True):
            prefect.patch(switch, json={"active": on}).raise_for_status()
            until(lambda: here()["enabled"] is on, 30, "the switch to be seen")  # noqa: B023

        # Deleted there it comes back; disabled here it is paused there; archived it is gone.
        prefect.delete(deployment).raise_for_status()
        until(lambda: here()["deployment_id"] != deployment.rpartition("/")[2], 30, "a new deployment")
        deployment = f"/deployments/{here()['deployment_id']}"
        live.admin.post("/recurring-jobs/yearly/disable").raise_for_status()
        until(lambda: not active(prefect, deployment), 30, "the pause there")
        live.admin.delete("/recurring-jobs/yearly").raise_for_status()
        until(lambda: prefect.get(deployment).status_code == 404, 30, "the deployment to go")


@pytest.mark.skipif(not CHAOS, reason="takes half a minute more; under ./run chaos")
async def test_a_run_that_a_dead_worker_left_is_taken_up_again(live: LiveStack) -> None:
    job = {"type": "command", "hosts": ["host-1"], "payload": {"command": "true"}}
    body = {"name": "left", "cron": "0 0 1 1 *", "job": job}
    assert live.admin.post("/recurring-jobs", json=body).status_code == 201
    until(lambda: shown(live, "left")["deployment_id"] is not None, 30, "the deployment")
    soon = (datetime.now(UTC) + timedelta(seconds=15)).isoformat()
    scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": soon}}
    with live.prefect() as prefect:
        place = f"/deployments/{shown(live, 'left')['deployment_id']}/create_flow_run"
        run = prefect.post(place, json={"state": scheduled}).raise_for_status().json()["id"]
        taken = {"state": {"type": "RUNNING", "name": "Running"}, "force": True}
        prefect.post(f"/flow_runs/{run}/set_state", json=taken).raise_for_status()
        auth = live.stack.prefect.auth_file.read_text(encoding="utf-8").strip()
        async with PrefectClient(live.stack.prefect.api_url, auth_string=auth) as client:
            await schedules.requeue(client, datetime.now(UTC) + timedelta(minutes=1))
        until(lambda: len(ticks(live, "manual", "left")) == 1, 60, "the tick of the run that was left")
        until(lambda: prefect.get(f"/flow_runs/{run}").json()["state_name"] == "Ran", 30, "the run to end")
    live.admin.delete("/recurring-jobs/left").raise_for_status()
