"""A secret crosses the whole product, from who gives it to the job that reads it, and is kept nowhere."""

import base64
import hashlib
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from store.sealing import read_keys
from tests.live.databases import rows
from tests.live.stack import LiveStack, until

MARKER = "mArKeR-7f3k/+\"&'\\ünï c=d-the-secret"
PLANTED = "pLaNtEd-9x2m-no-secret"
DIGEST = hashlib.sha256(MARKER.encode()).hexdigest()
CONTENT = """
sha256sum < "$PARAM_KEY_FILE"
cat "$PARAM_KEY_FILE"; base64 < "$PARAM_KEY_FILE" >&2
echo "$PARAM_PLAIN"
exit "$PARAM_CODE"
"""
SCRIPT = {
    "kind": "script",
    "name": "reads-secret",
    "language": "bash",
    "content": CONTENT,
    "parameters": [
        {"name": "key", "type": "secret", "required": True},
        {"name": "plain", "required": True},
        {"name": "code", "type": "integer", "default": 0},
    ],
}


@pytest.fixture(scope="module")
def secretive(live: LiveStack) -> LiveStack:
    answer = live.admin.put("/scripts/by-name/reads-secret", json=SCRIPT)
    assert answer.status_code in (200, 201), answer.text
    parameters = {"key": "{{inputs.key}}", "plain": "{{inputs.plain}}"}
    gate = {"id": "gate", "type": "approval", "title": "Use it?", "approvers": ["role:approver"]}
    steps = [gate, {"id": "use", "type": "script", "script": "reads-secret", "parameters": parameters}]
    inputs = [{"name": "key", "type": "secret", "required": True}, {"name": "plain"}]
    live.publish({"name": "secretive", "inputs": inputs, "steps": steps})
    return live


def job_of(live: LiveStack, job_id: int) -> dict[str, Any]:
    until(lambda: live.admin.get(f"/jobs/{job_id}").json()["ended_at"], 30, f"job {job_id} to end")
    view: dict[str, Any] = live.admin.get(f"/jobs/{job_id}").json()
    return view


def printed(live: LiveStack, job_id: int, stream: str = "stdout") -> str:
    page = live.admin.get(f"/jobs/{job_id}/output", params={"stream": stream}).json()
    return "".join(item["text"] for item in page["items"])


def execute(live: LiveStack, **parameters: Any) -> int:
    body = {"hosts": ["host-1"], "parameters": {"key": MARKER, "plain": PLANTED, **parameters}}
    answer = live.admin.post(
        "/scripts/reads-secret/execute", json=body, headers={"Idempotency-Key": f"{parameters}"}
    )
    assert answer.status_code == 201, answer.text
    job_id: int = answer.json()["jobs"][0]
    return job_id


def forms() -> list[bytes]:
    """How the marker might stand somewhere: as it is, escaped, encoded, in a dump of bytes."""
    raw = MARKER.encode()
    escaped = [json.dumps(MARKER)[1:-1], json.dumps(MARKER, ensure_ascii=False)[1:-1], raw.hex()]
    return [b"mArKeR-7f3k", raw, base64.b64encode(raw)[:24], *(text.encode() for text in escaped)]


def places(live: LiveStack, words: bytes) -> set[str]:
    """Where these bytes stand: in either database's rows, or in a file of the stack or its agent."""
    found = set()
    for name in ("opsgate", "prefect"):
        held = rows(live, name)
        assert len(held) > 1000, name
        if words in held:
            found.add(name)
    for path in live.folder.path.rglob("*"):
        if path.is_file() and words in path.read_bytes():
            found.add(str(path.relative_to(live.folder.path)))
    return found


def test_the_stack_has_made_a_key_that_only_its_owner_reads(live: LiveStack) -> None:
    key_file = live.folder.path / "secrets" / "sealing-key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    read_keys(key_file)


def test_a_script_is_run_with_a_secret_that_it_reads_and_can_not_print(secretive: LiveStack) -> None:
    view = job_of(secretive, execute(secretive))
    assert view["status"] == "completed"
    assert printed(secretive, view["id"]).split() == [DIGEST, "-", f"***{PLANTED}"]
    assert printed(secretive, view["id"], "stderr") == "***\n"
    assert view["payload"]["secrets"] == ["PARAM_KEY_FILE"]


def test_a_failed_job_is_retried_with_the_same_secret(secretive: LiveStack) -> None:
    job_id = execute(secretive, code=3)
    assert job_of(secretive, job_id)["status"] == "failed"
    assert secretive.admin.post(f"/jobs/{job_id}/retry").status_code == 200
    view = job_of(secretive, job_id)
    assert (view["attempt"], view["status"]) == (2, "failed")
    assert printed(secretive, job_id).split()[0] == DIGEST


def test_a_secret_input_reaches_the_script_step_behind_a_gate(secretive: LiveStack) -> None:
    number = secretive.launch("secretive", ["host-1"], key=MARKER, plain=PLANTED)
    gate = secretive.gate(number)
    assert MARKER not in json.dumps(gate)
    assert secretive.vote(gate).status_code == 200
    ended = secretive.ended(number)
    assert ended["status"] == "completed", ended
    assert ended["inputs"] == {"key": "***", "plain": PLANTED}
    step = ended["steps"][1]
    assert step["input"]["parameters"]["key"] == "***"
    assert step["jobs"][0]["stdout"].split()[0] == DIGEST


def test_a_parameter_that_is_no_secret_any_more_is_given_none(secretive: LiveStack) -> None:
    script = {**SCRIPT, "name": "was-secret", "parameters": [{"name": "key", "type": "secret"}]}
    secretive.admin.put("/scripts/by-name/was-secret", json=script)
    step = {"id": "use", "type": "script", "script": "was-secret", "parameters": {"key": "{{inputs.key}}"}}
    secretive.publish({"name": "stale", "inputs": [{"name": "key", "type": "secret"}], "steps": [step]})
    secretive.admin.put("/scripts/by-name/was-secret", json={**script, "parameters": [{"name": "key"}]})
    ended = secretive.ended(secretive.launch("stale", ["host-1"], key=MARKER))
    assert ended["status"] == "failed"
    assert "`key` of the script 'was-secret' is no secret any more" in ended["reason"]
    assert ended["steps"][0]["jobs"] == []


def test_the_command_line_takes_a_secret_from_a_file_and_from_standard_input(
    secretive: LiveStack, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(MARKER, encoding="utf-8")
    environment = {**secretive.stack.environment, "OPSGATE_DATA_DIR": str(secretive.folder.path)}
    run = [sys.executable, "-m", "deployments.cli", "script", "run", "reads-secret", "--host", "host-1"]
    for more, stdin in ((["--param", f"key=@{file}"], ""), (["--secret", "key"], MARKER + "\n")):
        done = subprocess.run(
            [*run, "--param", f"plain={PLANTED}", *more],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert DIGEST in done.stdout
        assert MARKER not in done.stdout + done.stderr


def test_a_secret_on_the_command_line_is_refused_before_anything_runs(secretive: LiveStack) -> None:
    environment = {**secretive.stack.environment, "OPSGATE_DATA_DIR": str(secretive.folder.path)}
    for command, option in (("script run reads-secret", "--param"), ("workflow start secretive", "--input")):
        arguments = [*command.split(), "--host", "host-1", option, "plain=x", option, "key=visible"]
        done = subprocess.run(
            [sys.executable, "-m", "deployments.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert f"--secret key, or {option} key=@FILE" in done.stderr
        assert "visible" not in done.stderr


def test_refusals_do_not_repeat_what_was_given(secretive: LiveStack) -> None:
    for body in (
        {"hosts": ["host-1"], "parameters": {"key": [MARKER], "plain": "x"}},
        {"hosts": ["host-1"], "parameters": {"key": MARKER, "plain": "x", "code": MARKER}},
        {"hosts": ["nowhere"], "parameters": {"key": MARKER, "plain": "x"}},
        {"hosts": MARKER, "parameters": {"key": MARKER}},
        {"hosts": ["host-1"], "parameters": MARKER},
    ):
        answer = secretive.admin.post("/scripts/reads-secret/execute", json=body)
        assert answer.status_code == 422
        assert "mArKeR" not in answer.text


def test_afterwards_the_secret_stands_in_no_row_no_log_and_no_file(secretive: LiveStack) -> None:
    """Last of this file: it looks for what all of the tests above may have left."""
    execute(secretive, code=4)
    number = secretive.launch("secretive", ["host-1"], key=MARKER, plain=PLANTED)
    secretive.gate(number)
    planted = places(secretive, PLANTED.encode())
    assert "opsgate" in planted
    assert any(place.startswith("postgres") for place in planted), planted
    assert {form: found for form in forms() if (found := places(secretive, form))} == {}
