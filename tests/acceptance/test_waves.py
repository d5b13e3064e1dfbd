"""Steps on several hosts, on real processes: waves, further attempts, deadlines, what each host left."""

import hashlib
from typing import Any

from tests.acceptance.conftest import FLEET, LEDGER_INPUT, Ledger, note, once
from tests.live.stack import LiveStack, until


def start(live: LiveStack, ledger: Ledger, name: str, *steps: dict[str, Any]) -> int:
    live.publish({"name": name, "inputs": LEDGER_INPUT, "steps": list(steps)})
    return live.launch(name, FLEET, ledger=str(ledger.path))


def jobs_of(live: LiveStack, number: int) -> dict[str, tuple[str, int]]:
    found = live.admin.get("/jobs", params={"instance": number}).json()["items"]
    return {job["host"]: (job["status"], job["attempt"]) for job in found}


def test_never_more_than_max_parallel_hosts_are_at_it(fleet: LiveStack, ledger: Ledger) -> None:
    command = f'echo in >> "{{{{inputs.ledger}}}}"; sleep 0.5; echo out >> "{ledger.path}"'
    step = {"id": "a", "type": "command", "command": command, "max_parallel": 1}
    number = start(fleet, ledger, "wave", step)
    ended = fleet.ended(number, 60)
    assert ended["status"] == "completed", ended["reason"]
    assert ledger.lines() == ["in", "out"] * 3
    assert ended["steps"][0]["not_started"] == []


def test_a_wave_that_fails_stops_the_step_before_the_other_hosts(fleet: LiveStack, ledger: Ledger) -> None:
    step = {"id": "a", "type": "command", "command": "exit 3", "max_parallel": 1, "max_failures": 1}
    mend = {**note("mend"), "hosts": ["host-1"], "on_success": "fail"}
    number = start(fleet, ledger, "wave-stopped", {**step, "on_failure": "mend"}, mend)
    ended = fleet.ended(number, 60)
    first = ended["steps"][0]
    assert [job["host"] for job in first["jobs"]] == ["host-1"]
    assert [host["name"] for host in first["not_started"]] == ["host-2", "host-3"]
    assert "Not started on host-2, host-3." in first["reason"]
    assert ledger.lines() == [f"{number} mend"]


def test_only_the_host_that_failed_tries_again_and_meanwhile_nobody_waits_in_memory(
    fleet: LiveStack, ledger: Ledger
) -> None:
    command = f'echo ran >> "{{{{inputs.ledger}}}}"; {once(str(ledger.path.with_name("mark")))}'
    step = {"id": "a", "type": "command", "command": command, "retries": 2, "max_parallel": 1}
    number = start(fleet, ledger, "wave-again", {**step, "retry_delay_seconds": 7})

    def waits() -> str:
        return fleet.instance(number)["waits_for"] or ""

    until(lambda: "Attempt 2 begins at" in waits(), 30, "the next attempt", fleet, number)
    assert "the one before failed: exit code 7." in waits()
    assert fleet.instance(number)["status"] == "running"
    ended = fleet.ended(number, 60)
    assert ended["status"] == "completed", ended["reason"]
    assert jobs_of(fleet, number) == {
        "host-1": ("completed", 2),
        "host-2": ("completed", 1),
        "host-3": ("completed", 1),
    }
    assert ledger.lines() == ["ran"] * 4
    with fleet.prefect() as prefect:
        states = prefect.get("/flow_run_states/", params={"flow_run_id": ended["flow_run_id"]}).json()
    assert "Suspended" in {state["name"] for state in states}, "a worker waited for it in memory"


def test_a_step_that_is_not_over_in_time_is_stopped_on_its_hosts_and_fails(
    fleet: LiveStack, ledger: Ledger
) -> None:
    step = {**note("slow", 60), "timeout_minutes": 0.03, "on_failure": "late"}
    number = start(fleet, ledger, "wave-late", step, {**note("late"), "hosts": ["host-1"]})
    ended = fleet.ended(number, 40)
    assert ended["status"] == "completed", ended["reason"]
    assert ended["steps"][0]["reason"].startswith("It was not over within 1.8 seconds.")
    assert {job["status"] for job in ended["steps"][0]["jobs"]} == {"cancelled"}
    assert ledger.lines() == [f"{number} late"]


def test_branches_that_are_not_over_in_time_are_given_up(fleet: LiveStack, ledger: Ledger) -> None:
    branches = [{"steps": [note("slow", 60)]}, {"steps": [{"id": "d", "type": "delay", "hours": 1}]}]
    fork = {"id": "p", "type": "parallel", "branches": branches, "timeout_minutes": 0.03}
    number = start(fleet, ledger, "wave-branches", {**fork, "on_failure": "late"}, note("late"))
    ended = fleet.ended(number, 40)
    assert ended["status"] == "completed", ended["reason"]
    reasons = {step["step_id"]: (step["status"], step["reason"]) for step in ended["steps"]}
    assert reasons["slow"] == reasons["d"] == ("cancelled", "It was not over within 1.8 seconds.")
    assert ledger.lines() == [f"{number} late"] * 3


def test_every_wave_and_every_attempt_gets_the_secret(fleet: LiveStack, ledger: Ledger) -> None:
    mark = ledger.path.with_name("mark")
    content = f'sha256sum < "$PARAM_KEY_FILE" | cut -c1-8 >> {ledger.path}; {once(str(mark))}'
    key = {"name": "key", "type": "secret", "required": True}
    script = {"kind": "script", "language": "bash", "content": content, "parameters": [key]}
    made = fleet.admin.put("/scripts/by-name/in-waves", json={"name": "in-waves", **script})
    assert made.status_code in (200, 201), made.text
    step = {"id": "a", "type": "script", "script": "in-waves", "parameters": {"key": "{{inputs.key}}"}}
    waves = {**step, "max_parallel": 1, "retries": 1, "hosts": FLEET[:2]}
    fleet.publish({"name": "wave-secret", "inputs": [key], "steps": [waves]})
    ended = fleet.ended(fleet.launch("wave-secret", ["host-1"], key="open sesame"), 60)
    assert ended["status"] == "completed", ended["reason"]
    assert ledger.lines() == [hashlib.sha256(b"open sesame").hexdigest()[:8]] * 3


def test_what_each_host_left_can_be_referred_to(fleet: LiveStack, ledger: Ledger) -> None:
    look = {
        "id": "look",
        "type": "command",
        "command": f"{once(str(ledger.path.with_name('mark')))}; echo '{{\"n\": 5}}'",
    }
    text = "{{step_look.exit_code}} {{step_look.hosts.host-2.json.n}} {{step_look.hosts.host-3.stdout}}"
    tell = {"id": "tell", "type": "command", "hosts": ["host-1"], "command": f"echo {text}"}
    number = start(fleet, ledger, "wave-hosts", {**look, "max_parallel": 1, "on_failure": "tell"}, tell)
    ended = fleet.ended(number, 60)
    assert ended["status"] == "completed", ended["reason"]
    assert ended["steps"][1]["jobs"][0]["stdout"] == '7 5 {"n": 5}\n'


def test_what_a_host_printed_beyond_what_is_kept_for_later_steps_decides_nothing(
    fleet: LiveStack, ledger: Ledger
) -> None:
    much = {"id": "much", "type": "command", "command": "head -c 1100000 /dev/zero | tr '\\0' x"}
    decide = {"id": "decide", "type": "condition", "condition": "{{step_much.stdout}} != 'x'"}
    parse = {"id": "parse", "type": "command", "command": "echo {{step_much.json.ip}}"}
    steps = [{**much, "hosts": ["host-1"]}, {**decide, "on_failure": "continue"}, parse]
    number = start(fleet, ledger, "beginnings", *steps)
    ended = fleet.ended(number, 60)
    reasons = {step["step_id"]: (step["status"], step["reason"]) for step in ended["steps"]}
    assert reasons["much"][0] == "completed"
    for step in ("decide", "parse"):
        status, reason = reasons[step]
        assert (status, "host-1 printed more than 1024 KiB to stdout" in reason) == ("failed", True)
