"""A host joins: make its key, show the organisation's secret once, keep the identity."""

import base64
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from agent import __version__, facts, identity
from agent.connection import Answer, Connection, NoTrust, ServerAway
from agent.host import host_os
from agent.identity import Identity, NoIdentity
from agent.protocol import EnrolRequest


@dataclass(frozen=True)
class Joining:
    """What a person gave in order to enrol."""

    server: str
    folder: Path
    hostname: str
    secret: str = field(repr=False)
    ca_file: str | None = None
    again: bool = False
    plain_http: bool = False


async def enrol(joining: Joining) -> Identity:
    """Enrol and keep the identity. NoIdentity says why it could not be done."""
    _check_server(joining.server, plain_http=joining.plain_http)
    if not joining.secret:
        raise NoIdentity("The organisation's secret is empty.")
    identity.prepare_folder(joining.folder)
    if identity.is_enrolled(joining.folder) and not joining.again:
        raise NoIdentity(f"{joining.folder} already holds an identity; say --again to enrol anew.")
    key = X25519PrivateKey.generate()
    try:
        request = EnrolRequest(
            org_secret=joining.secret,
            hostname=joining.hostname,
            os=host_os(),
            arch=facts.architecture(),
            public_key=base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii"),
            version=__version__,
            facts=facts.collect(),
        )
    except ValidationError:
        raise NoIdentity("A host name has 1 to 253 characters.") from None
    try:
        connection = Connection(joining.server, ca_file=joining.ca_file)
    except NoTrust as error:
        raise NoIdentity(str(error)) from None
    try:
        reply = await connection.enrol(request)
    except Answer as error:
        raise NoIdentity(f"The server refused: {error}") from None
    except (ServerAway, ValidationError) as error:
        said = "an answer that is not an enrolment's" if isinstance(error, ValidationError) else str(error)
        raise NoIdentity(f"{joining.server} did not enrol this host: {said}.") from None
    finally:
        await connection.close()
    joined = Identity(
        server=joining.server,
        agent_id=reply.agent_id,
        host_id=reply.host_id,
        ca_file=joining.ca_file,
        token=reply.token,
        private_key=key,
    )
    identity.save(joining.folder, joined)
    return joined


def _check_server(server: str, *, plain_http: bool) -> None:
    parts = urlsplit(server)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme != "http" or not parts.hostname:
        raise NoIdentity(f"{server!r} is not a server's address: write https://HOST[:PORT].")
    if not plain_http and not _is_loopback(parts.hostname):
        raise NoIdentity(
            "Over http the token and every job could be read and changed on the way: use https, "
            "or say --plain-http when something else protects the connection."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
