"""The main job: a workflow crosses a human gate on a real host, seen in Opsgate and in Prefect."""

from tests.acceptance.conftest import Ledger
from tests.live.stack import LiveStack, until


def test_jobs_run_in_order_on_the_host(workflows: LiveStack, ledger: Ledger) -> None:
    number = workflows.launch("three", ["host-1"], ledger=str(ledger.path))
    ended = workflows.ended(number)
    assert ended["status"] == "completed"
    assert ledger.lines() == [f"{number} a", f"{number} b", f"{number} c"]


def test_nothing_behind_a_gate_runs_until_a_person_approves(workflows: LiveStack, ledger: Ledger) -> None:
    number = workflows.launch("gated", ["host-1"], ledger=str(ledger.path))
    gate = workflows.gate(number)
    assert ledger.lines() == [f"{number} a"]
    vote = workflows.vote(gate)
    assert vote.status_code == 200, vote.text
    assert workflows.ended(number)["status"] == "completed"
    assert ledger.lines() == [f"{number} a", f"{number} b", f"{number} c"]


def test_a_rejected_gate_takes_the_failure_path(workflows: LiveStack, ledger: Ledger) -> None:
    number = workflows.launch("gated", ["host-1"], ledger=str(ledger.path))
    workflows.vote(workflows.gate(number), "reject")
    ended = workflows.ended(number)
    assert ended["status"] == "failed"
    assert "bob" in ended["reason"]
    assert ledger.lines() == [f"{number} a"]


def test_the_deadline_of_a_gate_rejects(live: LiveStack, ledger: Ledger) -> None:
    gate = {
        "id": "gate",
        "type": "approval",
        "title": "Quick?",
        "approvers": ["user:bob"],
        "timeout_minutes": 0.02,
    }
    live.publish({"name": "hasty", "steps": [gate]})
    ended = live.ended(live.launch("hasty", ["host-1"]), 20)
    assert ended["status"] == "failed"
    (step,) = ended["steps"]
    assert "deadline" in step["reason"].lower()


def test_a_delay_pauses_the_instance_and_ends_by_itself(live: LiveStack) -> None:
    live.publish({"name": "nap", "steps": [{"id": "wait", "type": "delay", "seconds": 2}]})
    number = live.launch("nap", ["host-1"])
    until(lambda: live.instance(number)["status"] == "paused", 60, "the delay to pause it")
    ended = live.ended(number, 20)
    assert ended["status"] == "completed"
    assert ended["steps"][0]["reason"].startswith("The time has come.")


def test_a_condition_branches_on_what_a_script_printed(live: LiveStack) -> None:
    print_json = {"id": "scan", "type": "command", "command": """echo '{"free": 12, "name": "web"}'"""}
    steps = [
        print_json,
        {"id": "low", "type": "condition", "condition": "{{step_scan.json.free}} < 20", "on_false": "end"},
        {"id": "tell", "type": "command", "command": "echo {{step_scan.json.name}} is low"},
    ]
    live.publish({"name": "branching", "steps": steps})
    ended = live.ended(live.launch("branching", ["host-1"]))
    assert [step["step_id"] for step in ended["steps"]] == ["scan", "low", "tell"]
    assert ended["steps"][2]["jobs"][0]["stdout"].strip() == "web is low"


def test_a_cancel_stops_the_job_on_its_host(workflows: LiveStack, ledger: Ledger) -> None:
    number = workflows.launch("slow", ["host-1"], ledger=str(ledger.path))
    jobs = lambda: [job for step in workflows.instance(number)["steps"] for job in step["jobs"]]  # noqa: E731
    until(lambda: any(job["status"] == "running" for job in jobs()), 60, "the job to run")
    assert (
        workflows.admin.post(f"/instances/{number}/cancel", json={"reason": "not today"}).status_code == 200
    )
    ended = workflows.ended(number, 15)
    assert ended["status"] == "cancelled"
    assert "not today" in ended["reason"]
    until(lambda: jobs()[0]["status"] == "cancelled", 60, "the job to be cancelled")
    assert ledger.lines() == []


def test_prefect_shows_the_steps_as_one_connected_graph(workflows: LiveStack, ledger: Ledger) -> None:
    number = workflows.launch("gated", ["host-1"], ledger=str(ledger.path))
    workflows.vote(workflows.gate(number))
    run = workflows.ended(number)["flow_run_id"]

    with workflows.prefect() as prefect:
        until(
            lambda: prefect.get(f"/flow_runs/{run}").json()["state"]["type"] == "COMPLETED",
            15,
            "Prefect's run",
        )
        shown = prefect.get(f"/flow_runs/{run}").json()
        assert shown["name"] == f"gated #{number}"
        assert shown["parameters"] == {"instance_id": number}

        def nodes() -> dict[str, list[str]]:
            graph = prefect.get(f"/flow_runs/{run}/graph-v2").json()
            labels = {key: node["label"] for key, node in graph["nodes"]}
            return {
                f"{node['label']} {node['state_type']}": sorted(
                    {labels[parent["id"]] for parent in node["parents"]}
                )
                for _, node in graph["nodes"]
            }

        # The gate has two task runs: one that parked it, one that settled it after the decision.
        expected = {
            "a COMPLETED": [],
            "gate COMPLETED": ["gate"],
            "b COMPLETED": ["gate"],
            "c COMPLETED": ["b"],
        }
        until(lambda: nodes() == expected, 60, "Prefect to record every task run")
        assert len(prefect.get(f"/flow_runs/{run}/graph-v2").json()["nodes"]) == 5
