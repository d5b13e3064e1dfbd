"""The agent replaces an old key; what was sealed to the old or the new one opens, however it is killed."""

import base64
import os
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from agent import identity
from store.sealing import seal_proof, seal_to_agent
from tests.agent.conftest import FakeServer, Runs

PROOF = "4f" * 32


@dataclass
class KeyOffice:
    """The server's side of the change: the key it seals to, and the calls it had."""

    key: str
    calls: list[dict[str, Any]] = field(default_factory=list)

    def take(self, body: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(body)
        if body["public_key"] == self.key or body["proof"] == PROOF:
            self.key = body["public_key"]
            return {"accepted": True}
        about = {"host_id": 3, "agent_id": 7, "new_key": body["public_key"]}
        return {"accepted": False, "challenge": seal_proof(PROOF, base64.b64decode(self.key), **about)}


def public_key(runs: Runs) -> str:
    key = identity.load(runs.folder).private_key.public_key()
    return base64.b64encode(key.public_bytes_raw()).decode()


@pytest.fixture
def office(server: FakeServer, agent: Runs) -> KeyOffice:
    office = KeyOffice(public_key(agent))

    @server._app.post("/agent/v1/key")
    async def key(request: Request) -> Response:
        answer = office.take(await request.json())
        return server._fault("key", request) or JSONResponse(answer)

    return office


def grow_old(runs: Runs) -> None:
    then = time.time() - 31 * 86_400
    os.utime(runs.folder / "private_key", (then, then))


async def runs_sealed_to(server: FakeServer, ended: Any, key: str) -> None:
    number = len(server.jobs) + 1
    about = {"host_id": 3, "agent_id": 7, "job_id": number, "attempt": 1}
    sealed = seal_to_agent({"PARAM_KEY_FILE": "abcdefg"}, base64.b64decode(key), **about)
    more: dict[str, Any] = {"language": "bash", "secrets": ["PARAM_KEY_FILE"]}
    job = server.add(number, sealed=sealed, content='rev "$PARAM_KEY_FILE"', **more)
    report = await ended(job, 60)
    assert (report["reason"], job.output("stdout")) == ("", b"gfedcba")


async def test_an_old_key_is_replaced_and_both_open(server, agent, office, ended, soon):
    old = office.key
    grow_old(agent)
    agent.start()
    await soon(lambda: office.key != old, 60)
    await soon(lambda: public_key(agent) == office.key)
    assert not (agent.folder / "private_key.next").exists()
    assert (agent.folder / "private_key").stat().st_mode & 0o077 == 0
    await runs_sealed_to(server, ended, office.key)
    await runs_sealed_to(server, ended, old)
    assert [call["proof"] for call in office.calls] == [None, PROOF]


async def test_a_young_key_stays(server, agent, office, ended):
    agent.start()
    await runs_sealed_to(server, ended, office.key)
    assert office.calls == []


async def test_killed_between_the_change_and_its_answer_it_opens_both_and_goes_on(
    server, agent, office, ended, soon, fault
):
    old = office.key
    lost = fault("key", "drop", times=100)
    lost.times = 0

    def lose_the_last(body: dict[str, Any], take: Any = office.take) -> dict[str, Any]:
        lost.times = 1 if body["proof"] else 0
        answer: dict[str, Any] = take(body)
        return answer

    office.take = lose_the_last
    grow_old(agent)
    agent.start()
    await soon(lambda: office.key != old, 60)
    agent.kill_9()
    assert public_key(agent) == old  # it has not heard that it was accepted
    agent.start()
    await runs_sealed_to(server, ended, office.key)
    await runs_sealed_to(server, ended, old)
    await soon(lambda: public_key(agent) == office.key, 60)


async def test_with_a_server_that_knows_no_such_call_it_keeps_its_key(server, agent, ended, soon):
    old = public_key(agent)
    grow_old(agent)
    agent.start()
    await soon(lambda: "keeps its key for now" in agent.log, 60)
    await runs_sealed_to(server, ended, old)
    assert public_key(agent) == old


async def test_it_proves_itself_to_nobody_who_has_not_its_public_key(server, agent, office, soon):
    office.key = base64.b64encode(X25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    old = public_key(agent)
    grow_old(agent)
    agent.start()
    await soon(lambda: "challenge does not open" in agent.log, 60)
    assert public_key(agent) == old
    assert [call["proof"] for call in office.calls] == [None]
