"""A job runs as an identity by a real vault, a real agent and a real user, and the password rests nowhere."""

import base64
import json
import pwd
import secrets
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.acceptance.test_secrets import job_of, places, printed
from tests.live.databases import execute
from tests.live.stack import LiveStack, until

pytestmark = [pytest.mark.stack, pytest.mark.root]

PASSWORD = "mArKeR-0p/4 \"&'\\ü-the-password"

CHECK_OUT = """WITH made AS (
        INSERT INTO checkouts (status, identity_id, identity_version, exclusive, ready, minutes, reason,
            active_at, deadline)
        SELECT 'active', id, version, false, true, 5, 'the release', now(), now() + interval '5 minutes'
        FROM identities WHERE name = $1 RETURNING id)
    UPDATE jobs SET checkout_id = (SELECT id FROM made), scheduled_at = now() WHERE id = $2"""


def ask_vault(live: LiveStack, method: str, path: str, body: Any = None) -> None:
    vault = live.stack.vault
    assert vault is not None
    headers = {"X-Vault-Token": vault.root_token_file.read_text()}
    answer = httpx2.request(method, f"{vault.address}/v1/{path}", json=body, headers=headers, trust_env=False)
    assert answer.status_code in (200, 204), answer.text


@pytest.fixture(scope="module")
def user(live: LiveStack) -> Iterator[pwd.struct_passwd]:
    """A user of this machine, whose password is in the stack's vault."""
    name = f"og-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--create-home", name], check=True)
    subprocess.run(["chpasswd"], input=f"{name}:{PASSWORD}\n".encode(), check=True)
    ask_vault(live, "POST", f"secret/data/{name}", {"data": {"password": PASSWORD}})
    identity = {"name": "runs_as", "vault": "local", "source": "kv_password", "host": "host-1"}
    document = {**identity, "path": f"secret/{name}", "username": name}
    answer = live.admin.put("/identities/by-name/runs_as", json=document)
    assert answer.status_code in (200, 201), answer.text
    yield pwd.getpwnam(name)
    subprocess.run(["userdel", "--force", "--remove", name], capture_output=True, check=True)


def dispatch(live: LiveStack, command: str) -> int:
    """Queue a command that runs by a checkout of the identity."""
    later = {"scheduled_at": "2999-01-01T00:00:00Z"}
    body = {"type": "command", "hosts": ["host-1"], "payload": {"command": command}, **later}
    answer = live.admin.post("/jobs", json=body)
    assert answer.status_code == 201, answer.text
    job_id: int = answer.json()["jobs"][0]
    execute(live, CHECK_OUT, "runs_as", job_id)
    return job_id


def audited(live: LiveStack, action: str, job_id: int) -> list[dict[str, Any]]:
    items = live.admin.get("/audit", params={"action": action, "limit": 100}).json()["items"]
    return [item for item in items if job_id in (item["detail"].get("job"), item["subject_id"])]


def test_it_is_the_user_and_each_reading_is_in_the_trail(live: LiveStack, user: pwd.struct_passwd):
    job_id = dispatch(live, "id -un; echo $HOME")
    assert job_of(live, job_id)["reason"] == ""
    assert printed(live, job_id).split() == [user.pw_name, user.pw_dir]
    (reading,) = audited(live, "credential.read", job_id)
    assert (reading["actor_name"], reading["detail"]["identity"]) == ("host-1", "runs_as")
    assert reading["detail"]["asked_because"] == "the release"


def test_while_the_vault_is_sealed_the_job_waits_and_then_it_runs(live: LiveStack, user: pwd.struct_passwd):
    ask_vault(live, "PUT", "sys/seal")
    job_id = dispatch(live, "id -un")

    def waits() -> bool:
        return "is sealed" in str(live.admin.get(f"/jobs/{job_id}").json()["waits"])

    until(waits, 30, "the job to say that the vault is sealed")
    body = {"type": "command", "hosts": ["host-1"], "payload": {"command": "echo meanwhile"}}
    other = live.admin.post("/jobs", json=body).json()["jobs"][0]
    assert job_of(live, other)["status"] == "completed"
    before = live.kill("vault")
    until(lambda: live.stack.processes.pid("vault") not in (None, before), 30, "the vault to be back")
    assert job_of(live, job_id)["reason"] == ""
    assert printed(live, job_id).split() == [user.pw_name]


def test_a_web_process_that_dies_with_the_credential_in_hand_costs_another_reading(
    live: LiveStack, user: pwd.struct_passwd
):
    with live.killed_at("web.credential_read") as hit:
        job_id = dispatch(live, "id -un")
        until(hit, 30, "the failpoint to be hit")
    assert job_of(live, job_id)["reason"] == ""
    assert printed(live, job_id).split() == [user.pw_name]
    assert len(audited(live, "credential.read", job_id)) == 2


def test_printed_it_is_masked_told_and_due_for_rotation_and_it_rests_nowhere(
    live: LiveStack, user: pwd.struct_passwd
):
    hidden = base64.b64encode(PASSWORD[::-1].encode()).decode()
    job_id = dispatch(live, f"echo {hidden} | base64 -d | rev; echo planted-marker-1c")
    job_of(live, job_id)
    assert printed(live, job_id) == "***planted-marker-1c\n"
    assert audited(live, "job.credential_redacted", job_id)
    assert places(live, b"planted-marker-1c")
    for words in (
        PASSWORD.encode(),
        json.dumps(PASSWORD)[1:-1].encode(),
        base64.b64encode(PASSWORD.encode()),
    ):
        assert places(live, words) == set()
