"""The credential that a claimed job runs by: read from its vault now, sealed to its agent, and not kept.

The vault is asked after the claim, outside of any transaction. What it gives is for an active checkout only,
looked at again when it has answered, and each reading is in the audit trail before the reply goes. A job
whose credential can't be read is not handed over: it is queued again, for a while, and then fails by the
vault's reason. Holds no credential after the reply, and never logs one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from agent.payloads import TextPayload
from agent.protocol import Credential, JobMessage
from definitions.errors import OpsgateError
from definitions.identity import Identity
from definitions.job_types import PAYLOADS
from definitions.lifecycles.checkout import CheckoutStatus
from definitions.lifecycles.job import JobStatus
from definitions.permissions import Actor
from definitions.vault import Vault
from store import audit, job_endings, sealed_values, sealing
from store.connection import Database, Row, Tx
from store.failpoints import failpoint
from store.identities import IDENTITIES
from store.vaults import VAULTS

_log = structlog.get_logger("opsgate.store")

PAUSES = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 15, 30))
"""After a try at a vault that may be back; after the last of them there is one more."""
TRIES_IF_REFUSED = 2
"""Of a vault that answers and does not give it."""


class Secret(Protocol):
    """What a vault gave."""

    @property
    def secret(self) -> str:
        """The password, or the private key."""

    @property
    def passphrase(self) -> str | None:
        """Of the private key, if it has one."""


class NotRead(OpsgateError):
    """The vault did not give it; `may_pass`: it may yet."""

    title = "The credential was not read"

    def __init__(self, message: str, *, may_pass: bool = True) -> None:
        super().__init__(message)
        self.may_pass = may_pass


ReadCredential = Callable[[Vault, Identity], Awaitable[Secret]]
"""Reads an identity's credential within a few seconds, or raises `NotRead`. (`tasks.credentials`)"""


@dataclass(frozen=True)
class Recipient:
    """The agent that has claimed the jobs, and how to reach it alone."""

    agent: Actor
    public_key: bytes


async def hand_over(
    db: Database, recipient: Recipient, jobs: Sequence[Row], read: ReadCredential | None
) -> list[JobMessage]:
    """The messages of claimed jobs that run by a checkout, without those that can't be given now."""
    found = await asyncio.gather(*(_one(db, recipient, job, read) for job in jobs))
    return [message for message in found if message is not None]


async def _one(
    db: Database, recipient: Recipient, job: Row, read: ReadCredential | None
) -> JobMessage | None:
    checkout = await db.fetchrow(_CHECKOUT, job["id"])
    assert checkout is not None
    try:
        if read is None:
            raise NotRead("This process of the server reads no credentials.")
        identity, vault = await _usable(db, checkout)
        secret = await read(vault, identity)
        credential = Credential(
            identity=identity.name,
            type=identity.credential_type,
            username=identity.username,
            domain=identity.domain,
            secret=secret.secret,
            passphrase=secret.passphrase,
        )
        message = _message(db, recipient, job, credential)
        async with db.transaction() as tx:
            await _note_reading(tx, recipient.agent, job)
        failpoint("web.credential_read")
        return message
    except NotRead as reason:
        await _put_off(db, recipient, job, reason)
    except (OpsgateError, ValueError) as reason:
        said = reason.message if isinstance(reason, OpsgateError) else "What it holds can't be sealed."
        await _refuse(db, recipient, job, said)
    return None


_CHECKOUT = """SELECT j.type, j.payload, h.name AS host, c.status, c.deadline > now() AS in_time,
        c.end_reason, c.instance_id IS NULL OR c.instance_id IS NOT DISTINCT FROM j.instance_id AS its_own,
        i.id AS identity_id, i.name AS identity, c.identity_version
    FROM jobs j JOIN hosts h ON h.id = j.host_id JOIN checkouts c ON c.id = j.checkout_id
    JOIN identities i ON i.id = c.identity_id WHERE j.id = $1"""


class _Unfit(OpsgateError):
    """The job may not run by that checkout."""


async def _usable(db: Database, checkout: Row) -> tuple[Identity, Vault]:
    """The identity and its vault, if the job may run by its checkout; `_Unfit` says why not."""
    name = checkout["identity"]
    if not checkout["its_own"]:
        raise _Unfit(f"The checkout of {name} is that of another instance.")
    if checkout["status"] != CheckoutStatus.ACTIVE or not checkout["in_time"]:
        why = f": {checkout['end_reason']}" if checkout["end_reason"] else "."
        raise _Unfit(f"{name} is not checked out any more{why}")
    identity = await IDENTITIES.load_version(db, checkout["identity_id"], checkout["identity_version"])
    if not issubclass(PAYLOADS[checkout["type"]], TextPayload):
        raise _Unfit(f"A {checkout['type']} job runs as no identity: scripts and commands do.")
    if identity.credential_type == "password":
        payload = checkout["payload"]
        if payload.get("requires_elevation") or payload.get("run_as"):
            raise _Unfit(f"It runs as {identity.username} by its identity, so it can't run as another user.")
        if identity.host not in (None, checkout["host"]):
            raise _Unfit(f"{name} is an account of the host {identity.host}, not of {checkout['host']}.")
    vault = await db.fetchrow("SELECT id, version FROM vaults WHERE name = $1", identity.vault)
    assert vault is not None  # its name stays while an identity lies in it
    return identity, await VAULTS.load_version(db, vault["id"], vault["version"])


def _message(db: Database, recipient: Recipient, job: Row, credential: Credential) -> JobMessage:
    agent = recipient.agent
    assert agent.host_id is not None
    assert agent.id is not None
    kept = job["sealed_values"]
    sealed = sealing.seal_to_agent(
        {} if kept is None else sealed_values.of_job(db.keys, job["id"], kept),
        recipient.public_key,
        host_id=agent.host_id,
        agent_id=agent.id,
        job_id=job["id"],
        attempt=job["attempt"],
        credential=credential,
    )
    return JobMessage(
        job_id=job["id"],
        attempt=job["attempt"],
        payload=job["payload"],
        sealed=sealed,
        identity=credential.identity,
    )


async def _note_reading(tx: Tx, agent: Actor, job: Row) -> None:
    """Audit that it was read, for a job that is still this agent's and a checkout that is still active."""
    await job_endings.lock(tx, job["id"])  # before the checkout: the order of locks is in `store.checkouts`
    row = await tx.fetchrow(
        """SELECT i.id, i.name AS identity, c.identity_version AS version, c.id AS checkout,
               c.reason AS asked_because, u.name AS person, j.instance_id AS instance, j.step_id AS step,
               h.name AS host
           FROM checkouts c JOIN identities i ON i.id = c.identity_id
           JOIN jobs j ON j.checkout_id = c.id JOIN hosts h ON h.id = j.host_id
           LEFT JOIN users u ON u.id = c.for_id
           WHERE j.id = $1 AND j.attempt = $2 AND j.agent_id = $3 AND j.status = 'pending'
             AND c.status = 'active' AND c.deadline > now() FOR SHARE OF c""",
        job["id"],
        job["attempt"],
        agent.id,
    )
    if row is None:
        raise _Unfit("It was not checked out any more when the vault had answered.")
    await tx.execute("UPDATE jobs SET reason = '' WHERE id = $1 AND credential_tries > 0", job["id"])
    detail = {name: value for name, value in row.items() if name != "id"}
    detail |= {"job": job["id"], "attempt": job["attempt"]}
    await audit.record(tx, agent, "credential.read", "identity", row["id"], **detail)


async def _put_off(db: Database, recipient: Recipient, job: Row, reason: NotRead) -> None:
    """Queue it again for a later try, or fail it when there were enough."""
    _log.warning("a job's credential was not read", job=job["id"], reason=reason.message)
    async with db.transaction() as tx:
        locked = await _locked(tx, recipient, job)
        if locked is None:
            return
        tries = locked["credential_tries"] + 1
        if tries > (len(PAUSES) if reason.may_pass else TRIES_IF_REFUSED - 1):
            await _fail(tx, recipient.agent, locked, reason.message)
            return
        await tx.execute(
            """UPDATE jobs SET status = 'queued', agent_id = NULL, request_id = NULL, claimed_at = NULL,
                   credential_tries = $2, claim_after = clock_timestamp() + $3::interval, reason = $4
               WHERE id = $1""",
            job["id"],
            tries,
            PAUSES[tries - 1],
            reason.message,
        )
        await job_endings.announce(tx, job["id"])


async def _refuse(db: Database, recipient: Recipient, job: Row, reason: str) -> None:
    async with db.transaction() as tx:
        locked = await _locked(tx, recipient, job)
        if locked is not None:
            await _fail(tx, recipient.agent, locked, reason)


async def _locked(tx: Tx, recipient: Recipient, job: Row) -> Row | None:
    """The job's row, locked, if this claim is still the last that was made of it."""
    found = await job_endings.lock(tx, job["id"])
    about = (job["attempt"], recipient.agent.id, JobStatus.PENDING)
    if found is None or (found["attempt"], found["agent_id"], found["status"]) != about:
        return None
    return found


async def _fail(tx: Tx, agent: Actor, job: Row, reason: str) -> None:
    await job_endings.end(tx, job, JobStatus.FAILED, reason, outcome="refused")
    identity = await tx.fetchrow(
        """SELECT i.id, i.name FROM checkouts c JOIN identities i ON i.id = c.identity_id WHERE c.id = $1""",
        job["checkout_id"],
    )
    assert identity is not None
    detail = {"identity": identity["name"], "checkout": job["checkout_id"], "job": job["id"], "why": reason}
    await audit.record(tx, agent, "credential.not_given", "identity", identity["id"], **detail)
