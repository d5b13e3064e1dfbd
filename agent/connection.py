"""The calls over HTTP: each answer is a value or one named outcome. No retrying of polls here.

An answer that is not JSON comes from something in between (a proxy, a sign-in page), not from the
server: it counts as the server being away, never as a decision. Messages never hold the token.
"""

import logging
import ssl
from dataclasses import dataclass, field
from typing import Any

import httpx2
from pydantic import TypeAdapter, ValidationError

from agent import __version__
from agent.payloads import JobPayload
from agent.protocol import (
    PREFIX,
    AttemptRef,
    CompletedReport,
    EnrolReply,
    EnrolRequest,
    KeyReply,
    KeyRequest,
    PollReply,
    PollRequest,
    StartedReport,
    Stream,
)
from agent.retry import Tide, delay

log = logging.getLogger(__name__)

_CALL_SECONDS = 15.0
_PAYLOAD: TypeAdapter[JobPayload] = TypeAdapter(JobPayload)


class Answer(Exception):
    """The server said no, in one of the ways below. The message is its sentence."""


class TokenUnknown(Answer):
    """401: enrol again."""


class Decommissioned(Answer):
    """403: this agent is no longer wanted."""


class VersionTooOld(Answer):
    """426: update the agent."""


class Refused(Answer):
    """409, or the thing is gone (404, 410): not wanted, and asking again changes nothing."""


class NotUnderstood(Answer):
    """Another 4xx: the server can't make sense of the request."""


class ServerAway(Exception):
    """No answer, 5xx, 429, or an answer that is not the server's: try again later."""


class NoTrust(Exception):
    """The file that names whom to trust can't be used; the message is a sentence."""


_NAMED: dict[int, type[Answer]] = {
    401: TokenUnknown,
    403: Decommissioned,
    404: Refused,
    409: Refused,
    410: Refused,
    426: VersionTooOld,
}


@dataclass(frozen=True)
class Delivered:
    """One attempt the server hands over; `payload` is None when this agent can't read it."""

    ref: AttemptRef
    payload: JobPayload | None
    problem: str = ""
    sealed: str | None = None
    """The values of its secret parameters and the credential it runs by, opened only when it runs."""
    identity: str | None = None
    """As whom it runs by that credential."""


@dataclass(frozen=True)
class Wishes:
    """What a poll brought."""

    jobs: list[Delivered] = field(default_factory=list)
    cancel: list[AttemptRef] = field(default_factory=list)
    forget: list[AttemptRef] = field(default_factory=list)


class Connection:
    """A client of one server. It trusts the machine's certificates, or only those of `ca_file`."""

    def __init__(self, server: str, token: str = "", ca_file: str | None = None) -> None:
        """Raises NoTrust when `ca_file` can't be used."""
        self.tide = Tide()
        headers = {"User-Agent": f"opsgate-agent/{__version__}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx2.AsyncClient(
            base_url=server.rstrip("/") + PREFIX,
            headers=headers,
            verify=_trusting(ca_file) if ca_file else True,
            timeout=_CALL_SECONDS,
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=60),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def enrol(self, request: EnrolRequest) -> EnrolReply:
        """Join with the organisation's secret."""
        answer = await self._call("POST", "enrol", json=request.model_dump())
        return EnrolReply.model_validate(answer)

    async def poll(self, request: PollRequest) -> Wishes:
        """Ask for work; returns when there is some, or after the wait."""
        patience = httpx2.Timeout(_CALL_SECONDS, read=request.wait_seconds + _CALL_SECONDS)
        answer = await self._call("POST", "poll", json=request.model_dump(), timeout=patience)
        return _read_wishes(answer)

    async def key(self, request: KeyRequest) -> KeyReply:
        """Ask for another key to be sealed to."""
        answer = await self._call("POST", "key", json=request.model_dump())
        try:
            return KeyReply.model_validate(answer)
        except ValidationError:
            raise ServerAway("the answer is not about a key") from None

    async def report(self, ref: AttemptRef, report: StartedReport | CompletedReport) -> None:
        """Report a state until it is acknowledged. Refused says that the server no longer wants it."""
        path = f"jobs/{ref.job_id}/{ref.attempt}/state"
        await self._insist("POST", path, json=report.model_dump())

    async def output(self, ref: AttemptRef, stream: Stream, seq: int, offset: int, data: bytes) -> bool:
        """Send a chunk until it is acknowledged; False when the server does not want it."""
        path = f"jobs/{ref.job_id}/{ref.attempt}/output"
        params = {"stream": stream, "seq": seq, "offset": offset}
        headers = {"Content-Type": "application/octet-stream"}
        try:
            await self._insist("PUT", path, params=params, content=data, headers=headers, final=NotUnderstood)
        except (Refused, NotUnderstood) as error:
            log.warning("The server takes no more output of job %s: %s", ref.job_id, error)
            return False
        return True

    async def _insist(self, method: str, path: str, *, final: type[Answer] = Refused, **content: Any) -> None:
        """Call until there is an answer that asking again would not change."""
        failures = 0
        while True:
            try:
                await self._call(method, path, **content)
                return
            except Refused:
                raise
            except (ServerAway, Answer) as error:
                # A token that is no longer known is the poll's to find out and to end the agent for.
                if isinstance(error, final):
                    raise
                failures += 1
                log.info("%s %s is not delivered yet (%s)", method, path, error)
                await self.tide.wait(delay(failures))

    async def _call(self, method: str, path: str, **content: Any) -> Any:
        try:
            response = await self._client.request(method, path, **content)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            self.tide.away()
            raise ServerAway(_why(error)) from error
        status = response.status_code
        if status == httpx2.codes.NO_CONTENT:
            self.tide.answered()
            return None
        try:
            body = response.json()
        except ValueError:
            raise ServerAway(f"status {status}, and not in JSON") from None
        if status >= 500 or status in (408, 429) or 300 <= status < 400:
            raise ServerAway(f"status {status}")
        if status >= 400:
            raise _NAMED.get(status, NotUnderstood)(_sentence(body, status))
        self.tide.answered()
        return body


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise NoTrust(f"{ca_file} holds no certificate in PEM form.") from None
    except OSError as error:
        raise NoTrust(f"The certificates to trust can't be read: {ca_file}: {error.strerror}.") from None


def _why(error: BaseException) -> str:
    """What kept the answer away; a certificate that is not trusted is named, it lies below other errors."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({below.verify_message}); --ca FILE names its CA"
        below = below.__cause__ or below.__context__
    return f"no answer: {type(error).__name__}"


def _sentence(body: Any, status: int) -> str:
    """The server's own words, from a problem (RFC 9457) or a StateReply."""
    if isinstance(body, dict):
        for key in ("detail", "reason", "title"):
            if isinstance(body.get(key), str) and body[key]:
                return str(body[key])
    return f"status {status}"


def _read_wishes(body: Any) -> Wishes:
    """Read a PollReply; a job that can't be read does not spoil the others."""
    try:
        jobs = [_read_job(job) for job in body.get("jobs", [])]
        rest = PollReply.model_validate({**body, "jobs": []})
    except (ValidationError, AttributeError, TypeError):
        raise ServerAway("the answer is not a poll's") from None
    return Wishes(jobs, rest.cancel, rest.forget)


def _read_job(job: Any) -> Delivered:
    ref = AttemptRef.model_validate(job)
    sealed, identity = (None if job.get(name) is None else str(job[name]) for name in ("sealed", "identity"))
    try:
        payload = _PAYLOAD.validate_python(job.get("payload"))
        return Delivered(ref, payload, sealed=sealed, identity=identity)
    except ValidationError as error:
        # Places and kinds of the errors only: the input may be a value that is nobody's business.
        places = "; ".join(
            ".".join(str(part) for part in found["loc"]) + f" ({found['type']})"
            for found in error.errors()[:5]
        )
        return Delivered(ref, None, f"This agent can't read the payload: {places}.")
