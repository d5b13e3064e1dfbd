"""The calls between agent and server, `/agent/v1` (design section 8).

Pure models, shared by both sides. Must not import anything but pydantic, the standard
library and `agent.payloads`.

`POST enrol`  EnrolRequest -> EnrolReply (org secret in the body; no token yet)
`POST poll`   PollRequest -> PollReply (bearer token; held open up to `wait_seconds`)
`PUT  jobs/{id}/{attempt}/output?stream=&seq=&offset=`  raw bytes, at most 64 KiB -> 204
`POST jobs/{id}/{attempt}/state`  StateReport -> StateReply; 409 StateReply(accepted=False) when refused
`POST key`    KeyRequest -> KeyReply: the agent replaces the key that is sealed to, in two such calls
Errors are RFC 9457 problems: 401 the token is not known (enrol again), 403 the agent was
decommissioned, 422 a malformed body, 426 the agent's version is too old.
"""

import json
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.payloads import JobPayload

PREFIX = "/agent/v1"
CHUNK_BYTES = 64 * 1024
OUTPUT_CAP_BYTES = 10 * 1024 * 1024
"""Most that is kept of each stream of one attempt; the rest is counted and dropped."""
INLINE_OUTPUT_BYTES = 16 * 1024
"""Output up to this size may ride in the `completed` report."""
POLL_WAIT_SECONDS = 20.0
SEALED_SUITE = "hpke-0020-0001-0003"
"""How values for an agent are sealed: RFC 9180's numbers of X25519, HKDF-SHA256, ChaCha20-Poly1305."""
SEALED_FOR_IDENTITY = f"{SEALED_SUITE}+identity"
"""The same, with a `Credential` beside the values. An agent of before does not know the word and refuses the
job; it would run it as its own user otherwise."""

Stream = Literal["stdout", "stderr"]
Redactions = dict[Stream, bool]
"""The streams of an attempt in which secret values were replaced so far; True: the credential of the identity
it runs as was among them."""
Outcome = Literal["exited", "timeout", "cancelled", "interrupted", "refused"]


class Message(BaseModel):
    """What every message has: unknown keys are ignored, so that versions may differ."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class EnrolRequest(Message):
    """A host asks to join with the organisation's secret."""

    org_secret: str
    hostname: Annotated[str, Field(min_length=1, max_length=253)]
    os: Literal["linux", "darwin", "windows"]
    arch: str = ""
    public_key: str
    """X25519 public key, 32 bytes, standard base64."""
    version: str
    facts: dict[str, str] = Field(default_factory=dict)


class EnrolReply(Message):
    """The agent's identity; the token is shown here once and stored as SHA-256."""

    agent_id: int
    host_id: int
    token: str


class Held(Message):
    """An attempt the agent has in its journal and has not been told to forget."""

    job_id: int
    attempt: int
    state: Literal["accepted", "started", "completed"]


class PollRequest(Message):
    """Heartbeat, claim, cancel delivery and reconciliation in one call."""

    boot_id: str
    """Fresh at every start of the agent process. On a new one the server takes back what was
    pending, and ends as `interrupted` what was running and is no longer held."""
    request_id: str
    """Fresh per poll; the same when a poll is sent again after a lost reply. A record: what the reply held is
    given again because it is not in `holding`."""
    holding: list[Held] = Field(default_factory=list)
    free_slots: Annotated[int, Field(ge=0, le=64)] = 1
    wait_seconds: Annotated[float, Field(ge=0, le=POLL_WAIT_SECONDS)] = POLL_WAIT_SECONDS
    version: str = ""
    facts: dict[str, str] | None = None
    """What the host says about itself now: with the polls of a new process until one is answered, so
    that a new kernel or interpreter shows without enrolling again. None: nothing new."""
    os: Literal["linux", "darwin", "windows"] | None = None
    """With the facts, and so is the next; None: as enrolled."""
    arch: str | None = None


class Credential(Message):
    """What one attempt runs by, read from the vault for it alone. It travels in `JobMessage.sealed`."""

    identity: str
    type: Literal["password", "ssh_key", "database"]
    username: str
    domain: str | None = None
    secret: str = Field(repr=False)
    """The password, or the private key."""
    passphrase: str | None = Field(default=None, repr=False)
    """Of the private key, if it has one."""


class JobMessage(Message):
    """One attempt of one job, for this host alone."""

    job_id: int
    attempt: int
    payload: JobPayload
    sealed: str | None = None
    """`SEALED_SUITE`, a colon, and base64 of `{"values": {name: value}}` sealed to this agent's key with
    `sealed_info`: exactly the names of the payload's `secrets`. Sealed anew whenever the job is delivered.
    With an `identity` the word before the colon is `SEALED_FOR_IDENTITY`, and `credential` stands beside
    `values`."""
    identity: str | None = None
    """As whom it runs; None: as its payload says."""


class Order(Message):
    """One job handed to `python -m agent.once`, which is told of it alone and speaks with no server."""

    job: JobMessage
    host_id: int
    agent_id: int
    private_key: str
    """What the job's values are sealed to: the raw X25519 key, standard base64."""


CANCEL = b"C"
"""The letter that ends such a job as cancelled."""
REPORT = "report.json"
"""The file in which it leaves its `CompletedReport`."""
REDACTIONS = "redactions.json"
"""The file in which it leaves its `Redactions`, before it prints what they were replaced in."""


def sealed_info(host_id: int, agent_id: int, job_id: int, attempt: int) -> bytes:
    """What a sealed text is bound to: it opens for this attempt on this host and for nothing else."""
    return json.dumps(["opsgate sealed values", host_id, agent_id, job_id, attempt]).encode("ascii")


def key_info(host_id: int, agent_id: int, new_public_key: str) -> bytes:
    """What the challenge is bound to by which an agent proves its key: to the change to this one alone."""
    return json.dumps(["opsgate new key", host_id, agent_id, new_public_key]).encode("ascii")


class KeyRequest(Message):
    """The agent has made another key. Sent without a proof first, then with it."""

    public_key: str
    """As in `EnrolRequest`."""
    proof: str | None = None
    """What the challenge held."""


class KeyReply(Message):
    """Whether the new key counts from now on."""

    accepted: bool
    challenge: str | None = None
    """Base64 of a text sealed to the key there is, with `key_info`: who opens it has that key."""


class AttemptRef(Message):
    """Names one attempt."""

    job_id: int
    attempt: int


class PollReply(Message):
    """What the server wants of the agent now."""

    jobs: list[JobMessage] = Field(default_factory=list)
    cancel: list[AttemptRef] = Field(default_factory=list)
    """Kill these attempts' process trees and report `cancelled`."""
    forget: list[AttemptRef] = Field(default_factory=list)
    """The server has these results, or no longer wants them: drop them from the journal.
    If one of them is still running, kill it. One that printed a secret is reported before, and refused."""
    server_time: datetime


class StartedReport(Message):
    """Asks leave to run: nothing runs before this is acknowledged."""

    state: Literal["started"] = "started"
    boot_id: str


class StreamReport(Message):
    """What was produced on one stream."""

    length: Annotated[int, Field(ge=0)] = 0
    """Bytes kept and sent (at most OUTPUT_CAP_BYTES)."""
    total: Annotated[int, Field(ge=0)] = 0
    """Bytes the process wrote, counted after secret values were replaced."""
    sha256: str = ""
    """Of the bytes kept, hex."""
    truncated: bool = False
    inline: str | None = None
    """The kept bytes, base64, when not sent as chunks (at most INLINE_OUTPUT_BYTES)."""
    redacted: Annotated[int, Field(ge=0)] = 0
    """How often a secret value stood in it and was replaced, also beyond the cap; of an attempt whose agent
    died, 1 for however often."""
    credential_redacted: bool = False
    """Whether the credential of the identity it ran as was among them."""


class CompletedReport(Message):
    """How an attempt ended. Sent until acknowledged or refused; an identical repeat is accepted."""

    state: Literal["completed"] = "completed"
    outcome: Outcome
    exit_code: int | None = None
    """With `exited`; a process killed by signal n reports 128 + n, as a shell does."""
    reason: str = ""
    """One sentence when the outcome is not `exited`."""
    duration_seconds: float = 0.0
    stdout: StreamReport = StreamReport()
    stderr: StreamReport = StreamReport()


StateReport = Annotated[StartedReport | CompletedReport, Field(discriminator="state")]


class StateReply(Message):
    """Whether the report moved the job (or repeated what is already so)."""

    accepted: bool
    reason: str = ""
