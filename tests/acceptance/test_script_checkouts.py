"""A script that runs as an identity, on the whole stack: it waits, is let go or fails, and gives back."""

from typing import Any

import pytest

from tests.live.stack import LiveStack, until

pytestmark = pytest.mark.stack

IDENTITY = {
    "name": "tidier",
    "vault": "local",
    "source": "kv_password",
    "path": "secret/tidier",
    "username": "tidier",
    "requires_approval": True,
    "approval": {"approvers": ["bob"]},
}


@pytest.fixture(scope="module")
def script(live: LiveStack) -> str:
    """A script that runs as an identity whose use somebody else has to approve."""
    tidy = {"name": "tidy-as", "language": "bash", "content": "true", "run_as": "tidier"}
    for path, document in (("identities", IDENTITY), ("scripts", tidy)):
        answer = live.admin.put(f"/{path}/by-name/{document['name']}", json=document)
        assert answer.status_code in (200, 201), answer.text
    return "tidy-as"


def run(live: LiveStack, script: str) -> dict[str, Any]:
    """The job, which waits."""
    body = {"hosts": ["host-1"], "reason": "Ticket 7."}
    made = live.admin.post(f"/scripts/{script}/execute", json=body)
    assert made.status_code == 201, made.text
    return look(live, made.json()["jobs"][0])


def look(live: LiveStack, job: int) -> dict[str, Any]:
    found: dict[str, Any] = live.admin.get(f"/jobs/{job}").json()
    return found


def request_of(live: LiveStack, job: dict[str, Any]) -> dict[str, Any]:
    checkout = live.admin.get(f"/checkouts/{job['checkout_id']}").json()
    found: dict[str, Any] = live.bob.get(f"/approvals/{checkout['approval_id']}").json()
    return found


def given_back(live: LiveStack, job: dict[str, Any]) -> dict[str, Any]:
    """The checkout, once it has ended."""
    path = f"/checkouts/{job['checkout_id']}"
    until(lambda: live.admin.get(path).json()["ended_at"], 30, "the checkout to end")
    found: dict[str, Any] = live.admin.get(path).json()
    return found


def test_an_agent_gets_it_once_it_is_approved_and_the_checkout_ends_with_it(
    live: LiveStack, script: str
) -> None:
    job = run(live, script)
    other = live.admin.post(
        "/jobs", json={"type": "command", "hosts": ["host-1"], "payload": {"command": "true"}}
    ).json()["jobs"][0]
    until(lambda: look(live, other)["ended_at"], 30, "a job behind it to end")
    waiting = look(live, job["id"])
    assert (waiting["status"], waiting["claimed_at"]) == ("queued", None)
    assert waiting["waits"].startswith("Waits for the approval 'Run tidy-as as tidier'")
    assert live.vote(request_of(live, job)).status_code == 200
    until(lambda: look(live, job["id"])["claimed_at"], 30, "the agent to get it")
    until(lambda: look(live, job["id"])["ended_at"], 120, "it to end")
    assert given_back(live, job)["end_reason"] == "Its jobs have ended."


def test_a_refusal_fails_it_in_words(live: LiveStack, script: str) -> None:
    job = run(live, script)
    assert live.vote(request_of(live, job), "reject").status_code == 200
    until(lambda: look(live, job["id"])["ended_at"], 30, "it to end")
    refused = look(live, job["id"])
    assert refused["status"] == "failed"
    assert refused["reason"].startswith("It may not run as `tidier`: Rejected:")
    assert given_back(live, job)["status"] == "denied"


def test_cancelled_while_it_waits_it_asks_nobody_any_more(live: LiveStack, script: str) -> None:
    job = run(live, script)
    assert live.admin.post(f"/jobs/{job['id']}/cancel").status_code == 200
    until(lambda: request_of(live, job)["status"] == "withdrawn", 30, "the request to be withdrawn")
    assert given_back(live, job)["status"] == "ended"
