"""`/agent/v1`: the calls of agents. See `agent.protocol`; the rules are in the store."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.protocol import (
    CHUNK_BYTES,
    PREFIX,
    EnrolReply,
    EnrolRequest,
    KeyReply,
    KeyRequest,
    PollReply,
    PollRequest,
    StateReply,
    StateReport,
    Stream,
)
from agent_api.authentication import Agent, Db, address_of, log_refused_agent
from agent_api.bells import RECHECK_SECONDS, HostBells
from agent_api.guarded import GuardedRouter
from agent_api.ids import Id
from definitions.errors import NotAuthenticated, NotPermitted
from definitions.permissions import Actor
from store import agent_keys, agents, claims, job_output, jobs
from store.connection import Database
from tasks.credentials import read_credential

router = GuardedRouter(prefix=PREFIX, tags=["agents"])

Attempt = Annotated[int, Path(ge=1, le=2**31 - 1)]


_TOO_OLD: dict[int | str, dict[str, Any]] = {426: {"description": "The agent is too old"}}


@router.post(
    "/enrol",
    public="the organisation secret in the body is the credential",
    responses={401: {}, 403: {}, 429: {}} | _TOO_OLD,
)
async def enrol(db: Db, request: Request, body: EnrolRequest) -> EnrolReply:
    """Let a host join."""
    _check_version(request, body.version)
    address = address_of(request)
    request.app.state.enrol_guesses.check(address)
    try:
        return await agents.enrol(db, body)
    except (NotAuthenticated, NotPermitted) as error:
        if isinstance(error, NotAuthenticated):
            request.app.state.enrol_guesses.note(address)
        log_refused_agent(request, error)
        raise


@router.post("/poll", agent=True, responses=_TOO_OLD)
async def poll(db: Db, agent: Agent, request: Request, body: PollRequest) -> PollReply:
    """Say what the agent should do; held open while there is nothing to say."""
    if body.version:
        _check_version(request, body.version)
    bells: HostBells = request.app.state.bells
    # The bell hangs before the first look: what comes from then on is not missed.
    with bells.listening(agent) as rung:
        reply = await claims.poll(db, agent, body, read=read_credential)
        if _says_something(reply) or body.wait_seconds == 0:
            return reply
        gone = asyncio.create_task(_disconnected(request))
        try:
            return await _held_open(db, agent, body, reply, rung, gone)
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone


@router.post("/key", agent=True)
async def key(db: Db, agent: Agent, body: KeyRequest) -> KeyReply:
    """Seal to another key of the agent's, once it has proved that it has the one there is."""
    return await agent_keys.change(db, agent, body)


@router.put(
    "/jobs/{job_id}/{attempt}/output",
    agent=True,
    status_code=204,
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}},
)
async def output(
    db: Db,
    agent: Agent,
    request: Request,
    job_id: Id,
    attempt: Attempt,
    stream: Stream,
    seq: Annotated[int, Query(ge=0, le=2**31 - 1)],
    offset: Annotated[int, Query(ge=0, le=2**62)],
) -> None:
    """Take one chunk of what an attempt prints."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > CHUNK_BYTES:
            raise HTTPException(413, f"A chunk has at most {CHUNK_BYTES} bytes.")
    await job_output.append(db, agent, job_id, attempt, stream, seq, offset, bytes(data))


@router.post(
    "/jobs/{job_id}/{attempt}/state",
    agent=True,
    response_model=StateReply,
    responses={409: {"model": StateReply, "description": "It does not fit"}},
)
async def state(db: Db, agent: Agent, job_id: Id, attempt: Attempt, body: StateReport) -> Response:
    """Take the agent's word that an attempt starts or has ended; 409 when it does not fit."""
    reply = await jobs.report(db, agent, job_id, attempt, body)
    return JSONResponse(reply.model_dump(), 200 if reply.accepted else 409)


async def _held_open(
    db: Database,
    agent: Actor,
    body: PollRequest,
    reply: PollReply,
    rung: asyncio.Event,
    gone: asyncio.Task[None],
) -> PollReply:
    """Wait with a reply that says nothing, and look again each time it was rung, and at the end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + body.wait_seconds
    # What it holds may end elsewhere, which rings no bell: who holds something looks again by itself.
    longest = RECHECK_SECONDS if body.holding else body.wait_seconds
    while (left := until - loop.time()) > 0 and not _says_something(reply):
        ring = asyncio.create_task(rung.wait())
        await asyncio.wait({ring, gone}, timeout=min(left, longest), return_when="FIRST_COMPLETED")
        ring.cancel()
        if gone.done():
            break
        rung.clear()
        reply = await claims.poll(db, agent, body, again=True, read=read_credential)
    return reply


async def _disconnected(request: Request) -> None:
    """Return when the agent has hung up: nothing must be claimed into a dead connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _says_something(reply: PollReply) -> bool:
    return bool(reply.jobs or reply.cancel or reply.forget)


def _check_version(request: Request, version: str) -> None:
    needed: str = request.app.state.settings.minimum_agent_version
    if _numbers(version) < _numbers(needed):
        raise HTTPException(426, f"This agent is version {version[:50]}; at least {needed} is needed.")


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split("-")[0].split(".")[:4]
    return tuple(int(part) if part.isascii() and part.isdigit() and len(part) < 9 else 0 for part in parts)
