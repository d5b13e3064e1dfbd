"""Approvals from the command line, against a real web process: lists, what a yes sets going, the vote."""

import asyncio
from typing import Any

import pytest

from definitions.permissions import SYSTEM
from definitions.script import Script
from definitions.steps import ApprovalStep
from deployments.cli.approval_plan import credential, went_on
from deployments.stack.first_start import SECOND_PROFILE
from store import approvals, instances, scripts, users, workflows
from store.askers import Hand
from store.connection import Database
from tests.deployments.conftest import Opsgate, Server

NOTE = {"name": "note"}
STEPS: list[dict[str, Any]] = [
    {"id": "gate", "type": "approval", "title": "Deploy?", "approvers": ["bob"]},
    {"id": "run", "type": "script", "script": "roll-out", "parameters": {"note": "{{inputs.note}}"}},
    {"id": "tell", "type": "command", "command": "echo {{step_run.stdout}}"},
]


def gate(server: Server, content: str) -> int:
    """An instance that admin started, at its gate."""

    async def opened(db: Database) -> int:
        await db.execute("INSERT INTO hosts (name, os) VALUES ('web-7', 'linux') ON CONFLICT DO NOTHING")
        script = {
            "name": "roll-out",
            "language": "bash",
            "content": content,
            "parameters": [{"name": "note"}],
        }
        await scripts.put(db, SYSTEM, Script.model_validate(script))
        document = {"name": "asks", "inputs": [NOTE], "steps": STEPS}
        view, _ = await workflows.put(db, SYSTEM, document, publish=True)
        admin = await users.actor_of(db, await users.find(db, "admin"))
        started = await instances.start(db, admin, view.id, ["web-7"], {"note": "release 7"})
        async with db.transaction() as tx:
            await tx.execute("UPDATE instances SET status = 'running' WHERE id = $1", started.id)
            return await approvals.open_request(
                tx,
                instance_id=started.id,
                step_id="gate",
                visit=1,
                step=ApprovalStep.model_validate(STEPS[0]),
                title="Deploy?",
                description="",
                started_by=admin.id,
            )

    async def main() -> int:
        db = await Database.connect(server.database_url, max_size=2)
        try:
            return await opened(db)
        finally:
            await db.close()

    return asyncio.run(main())


def test_of_a_checkout_it_is_said_whose_credential_it_is_and_who_resumed_for_it() -> None:
    asked = {"identity": "dba", "version": 2, "credential_type": "database", "username": "app"}
    asked |= {"domain": "corp", "host": None, "minutes": 5}
    line = "credential: dba version 2: database of app in corp, for 5 minutes at most"
    assert list(credential({"checkout": asked})) == [line]
    hands = [Hand(person=1, name="ana", did="started"), Hand(person=2, name="bo", did="resumed")]
    assert list(went_on({"set_going": [hand.model_dump() for hand in hands]})) == ["resumed by bo"]


@pytest.fixture
def bob(server: Server, monkeypatch: pytest.MonkeyPatch, opsgate: Opsgate) -> Opsgate:
    """The command line as the approver."""
    monkeypatch.setenv("OPSGATE_PROFILE", str(server.folder.path / SECOND_PROFILE))
    return opsgate


def ids(opsgate: Opsgate, *arguments: str) -> list[int]:
    return [row["id"] for row in opsgate("approval", "list", *arguments, "--json").json]


def test_everybody_finds_what_waits_for_them_what_they_started_and_what_was_decided(
    server: Server, bob: Opsgate
):
    first, second = gate(server, "one"), gate(server, "one")
    assert bob("approval", "approve", str(first), "--yes").out.startswith("Approved: 1 of 1 said yes")
    assert (ids(bob, "--mine")[:1], ids(bob, "--started")) == ([second], [])
    assert first not in ids(bob)
    assert ids(bob, "--all")[:2] == [second, first]
    assert first in ids(bob, "--all", "--status", "approved")
    assert (done := bob("approval", "list", "--mine", "--all")).code == 2, done.out


def test_before_deciding_what_runs_is_shown_and_what_has_changed(server: Server, bob: Opsgate):
    bob("approval", "approve", str(gate(server, "set -e\nold")), "--yes")
    shown = bob("approval", "show", str(gate(server, "set -e\nnew"))).out
    assert "0 of 1, one more needed." in shown
    assert "What runs if approved; changes since approval" in shown
    assert "run (run): script, first  CHANGED" in shown
    for line in ("on        web-7", "note      release 7", "    | -old", "    | +new"):
        assert line in shown
    assert "not yet: {{step_run.stdout}}, known when `run` has run" in shown


def test_who_started_it_sees_it_among_their_own_and_may_not_decide(server: Server, opsgate: Opsgate):
    number = gate(server, "one")
    assert opsgate("approval", "list", "--started", beside=server).code == 0
    assert ids(opsgate, "--started")[0] == number
    assert number not in ids(opsgate, "--mine")
    refused = opsgate("approval", "approve", str(number), "--yes")
    assert (refused.code, "somebody else has to decide" in refused.err) == (1, True)


def test_away_from_a_terminal_nobody_approves_what_they_were_not_shown(server: Server, bob: Opsgate):
    number = str(gate(server, "one"))
    refused = bob("approval", "approve", number)
    assert (refused.code, "--digest" in refused.err) == (2, True)
    digest = bob("approval", "show", number, "--json").json["digest"]
    assert bob("approval", "approve", number, "--digest", digest).out.startswith("Approved: 1 of 1")


def test_on_a_terminal_the_plan_is_shown_before_the_question(
    server: Server, bob: Opsgate, monkeypatch: pytest.MonkeyPatch
):
    number = str(gate(server, "one"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = iter(("n", "y"))
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    assert "Nothing was decided." in bob("approval", "approve", number).err
    shown = bob("approval", "approve", number).out
    assert "run (run): script" in shown
    assert "Approved: 1 of 1" in shown
