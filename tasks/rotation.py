"""Rotating the credential of an identity, step by step: by its vault alone, or by its vault and its host.

For an account of a host the next password is first put into the vault as the pending one, beside the one
in force; then a job sets it on the host; then the vault shows it as current. So whatever dies in between,
the vault has the password that is in force, and the next try goes on with the same one. Keeps and returns
no credential. How it stands is `store.rotations`.
"""

import asyncio
import secrets

from pydantic import BaseModel, ConfigDict

from definitions.errors import OpsgateError, Unavailable
from definitions.lifecycles.job import JobStatus
from definitions.permissions import Actor
from store import rotations
from store.connection import AWAY, Database
from store.failpoints import failpoint
from store.rotations import Asked, Turn
from tasks.vault import VaultClient
from tasks.vault_errors import Kind, VaultRefusal

WAIT_SECONDS = 20.0
"""How long somebody who asks for it waits for its end."""

_GONE: tuple[Kind, ...] = ("changed", "not_found", "unfit")
_LOOK_SECONDS = 0.2
_BYTES = 24


class Rotated(BaseModel):
    """What came of a rotation that was asked for."""

    model_config = ConfigDict(frozen=True)

    identity: str
    done: bool
    """False: a host has still to set the password."""
    message: str


async def advance(db: Database, identity_id: int) -> bool:
    """The next step of a rotation; False if it has none now, or somebody else does it."""
    async with rotations.turn(db, identity_id) as turn:
        if turn is None:
            return False
        failpoint("rotation.begun")
        try:
            await _step(db, turn)
        except OpsgateError as error:
            await rotations.failed(turn, error.message, anew=not _host_has_it(turn, error))
        except AWAY:
            raise
        except Exception as error:  # it must not be tried again at once, and for ever
            await rotations.failed(turn, f"Opsgate itself could not go on ({type(error).__name__}).")
    return True


def _host_has_it(turn: Turn, error: OpsgateError) -> bool:
    """Whether the host has set the pending password, so that only the vault is behind. Where the version it
    stood in is not to be had any more the vault says so for ever: the host is given what is pending now."""
    gone = isinstance(error, VaultRefusal) and error.kind in _GONE
    return turn.job is not None and turn.job.status == JobStatus.COMPLETED and not gone


async def _step(db: Database, turn: Turn) -> None:
    vault, identity, job = VaultClient(turn.vault), turn.identity, turn.job
    if identity.why_not_rotated is not None:
        await rotations.let_go(turn, identity.why_not_rotated)
    elif identity.rotated_by == "vault":
        await vault.rotate(identity)
        failpoint("rotation.vault_turned")
        await rotations.done(turn)
    elif job is None:
        pending = await vault.propose(identity, secrets.token_urlsafe(_BYTES))
        failpoint("rotation.pending_written")
        await rotations.dispatch(turn, db.keys, pending.version, pending.password)
        failpoint("rotation.job_dispatched")
    elif job.status != JobStatus.COMPLETED:
        raise Unavailable(f"Job {job.id} on {identity.host} ended as {job.status}: {job.reason}")
    else:
        failpoint("rotation.set_on_host")
        await vault.settle(identity, job.version)
        failpoint("rotation.made_current")
        await rotations.done(turn)


async def rotate(db: Database, actor: Actor, ref: int | str) -> Rotated:
    """Give the identity a new credential, and wait for that a while. `Conflict` while somebody has it
    checked out, or where Opsgate can't; `Unavailable` says why it failed."""
    asked = await rotations.ask(db, actor, ref)
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while True:
        if await rotations.is_due(db, asked.identity_id):
            await advance(db, asked.identity_id)
        now = await rotations.standing(db, asked.identity_id)
        if now.rotated_at is not None and now.rotated_at >= asked.at:
            said = f"{asked.name} has a new password; the old one is over."
            return Rotated(identity=asked.name, done=True, message=said)
        if now.failed_at is not None and now.failed_at >= asked.at:
            raise Unavailable(await _what_failed(db, asked, now.error, now.quarantined))
        if asyncio.get_running_loop().time() > deadline:
            return _under_way(asked, now.job_id)
        await asyncio.sleep(_LOOK_SECONDS)


async def _what_failed(db: Database, asked: Asked, error: str, quarantined: bool) -> str:
    if quarantined:
        return f"{error} {asked.name} stays in quarantine."
    if await rotations.call_off(db, asked):
        return error
    return f"{error} It is tried again; until it has worked nobody can check {asked.name} out."


def _under_way(asked: Asked, job_id: int | None) -> Rotated:
    by = "" if job_id is None else f" by job {job_id}"
    said = f"{asked.name} is being rotated{by}; until that is done nobody can check it out."
    return Rotated(identity=asked.name, done=False, message=said)
