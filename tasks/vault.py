"""Speaks to a vault, HashiCorp's or OpenBao: KV v2 and static roles of databases. Nobody else does.

Every call ends: each try has a deadline, what may pass is tried again, and what is refused says which
of six things is wrong, in a sentence without the secret. Signs in anew for every call: no token rests.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar
from weakref import WeakKeyDictionary

import hvac
import requests
from hvac import exceptions

from definitions.identity import FIELDS, Identity
from definitions.vault import AppRoleAuth, Vault
from tasks.secret_places import read_place
from tasks.vault_errors import NO_VAULT, Kind, explained
from tasks.vault_errors import PASSING as PASSING
from tasks.vault_errors import VaultRefusal as VaultRefusal
from tasks.vault_line import Line

T = TypeVar("T")

TRY_SECONDS = (3.0, 8.0)
"""To connect, and between two parts of an answer."""
PAUSES = (0.3, 1.0)
"""Before the second and the third try."""
MOST_SECONDS = 30.0
"""After which a call is given up, whatever the vault does."""

_AT_ONCE = 8
"""Calls of one vault at once: a slow one keeps no thread from the others."""
_THREADS = ThreadPoolExecutor(4 * _AT_ONCE, "opsgate-vault")
_busy: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Credential:
    """A credential as it stands in the vault now. Not to be kept, printed or logged."""

    username: str
    secret: str = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)
    """Of an ssh key, if it has one."""


@dataclass(frozen=True)
class Pending:
    """The next password of an account, and the version of the secret in which it stands beside the one in
    force. Not to be kept, printed or logged."""

    version: int
    password: str = field(repr=False)


def _leave(place: asyncio.Semaphore, done: "asyncio.Future[Any]") -> None:
    place.release()
    if not done.cancelled():
        done.exception()  # seen, also when nobody waits for it any more


class VaultClient:
    """One vault, as its definition says."""

    def __init__(self, vault: Vault, secret_in: Callable[[str], str] = read_place) -> None:
        self._vault = vault
        self._secret_in = secret_in

    async def test(self) -> str:
        """Sign in, and say in a sentence as what; `VaultRefusal` says why not."""
        return await self._call(self._tested)

    async def read(self, identity: Identity, seconds: float | None = None) -> Credential:
        """The credential of an identity, now, given up after so many seconds (None: `MOST_SECONDS`)."""
        return await self._call(lambda client: self._credential(client, identity), seconds)

    async def rotate(self, identity: Identity) -> None:
        """Let the vault give the database role of an identity a new password."""
        mount, role = identity.place

        def turn(client: hvac.Client) -> None:
            client.secrets.database.rotate_static_role_credentials(role, mount_point=mount)

        await self._call(turn)

    async def propose(self, identity: Identity, password: str) -> Pending:
        """Put the next password of an account beside the one in force; one that stands there already stays,
        for a host may have it."""
        return await self._call(lambda client: self._proposed(client, identity, password))

    async def settle(self, identity: Identity, version: int) -> None:
        """Make the password current that is the pending one in a version: the host has it. Nothing is left
        to do if it is so already; a secret that was written anew meanwhile is `changed`."""
        await self._call(lambda client: self._settled(client, identity, version))

    # -- calling -------------------------------------------------------------------------------
    async def _call(self, work: Callable[[hvac.Client], T], seconds: float | None = None) -> T:
        seconds = MOST_SECONDS if seconds is None else seconds
        loop, line = asyncio.get_running_loop(), Line()
        until = time.monotonic() + seconds
        place = _busy.setdefault(loop, {}).setdefault(self._vault.address, asyncio.Semaphore(_AT_ONCE))
        try:
            async with asyncio.timeout(seconds):
                await place.acquire()
                # The place is taken for as long as the thread, not only for as long as somebody waits for it.
                running = loop.run_in_executor(_THREADS, self._tried, work, line, until)
                running.add_done_callback(lambda done: _leave(place, done))
                return await asyncio.shield(running)
        except TimeoutError:
            self._refuse("unreachable", f"did not finish its answer within {seconds:.0f} s")
        finally:
            line.cut()  # nobody waits for the thread any more: it ends

    def _tried(self, work: Callable[[hvac.Client], T], line: Line, until: float) -> T:
        """Call, and again what may pass, as long as there is time."""
        for pause in (*PAUSES, None):
            try:
                return self._once(work, line)
            except VaultRefusal as refusal:
                if refusal.kind not in PASSING or pause is None or time.monotonic() + pause >= until:
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _once(self, work: Callable[[hvac.Client], T], line: Line) -> T:
        with line.session() as session:
            session.verify = self._vault.ca_file or True
            # A redirect would carry the token elsewhere.
            client = hvac.Client(
                url=self._vault.address,
                token="",
                namespace=self._vault.namespace,
                timeout=TRY_SECONDS,
                allow_redirects=False,
                session=session,
            )
            try:
                self._sign_in(client)
                return work(client)
            except (exceptions.VaultError, requests.RequestException, OSError) as error:
                self._refuse(*explained(error, self._vault.namespace))
            except (KeyError, TypeError, AttributeError, ValueError):
                self._refuse("unfit", NO_VAULT)

    def _sign_in(self, client: hvac.Client) -> None:
        auth = self._vault.auth
        if not isinstance(auth, AppRoleAuth):
            client.token = self._secret_in(auth.token)
            return
        secret_id = self._secret_in(auth.secret_id)
        try:
            client.auth.approle.login(auth.role_id, secret_id, mount_point=auth.mount)
        except exceptions.InvalidRequest as error:
            if "role or secret ID" not in str(error):
                raise
            self._refuse("denied", "does not know the AppRole: its role id or its secret id is wrong or over")

    def _refuse(self, kind: Kind, said: str) -> NoReturn:
        message = f"The vault {self._vault.name} at {self._vault.address} {said}"
        raise VaultRefusal(kind, message if message.endswith("?") else f"{message}.") from None

    # -- what is asked -------------------------------------------------------------------------
    def _tested(self, client: hvac.Client) -> str:
        found: dict[str, Any] = client.auth.token.lookup_self()["data"]
        policies = ", ".join(sorted(map(str, found.get("policies") or []))) or "none"
        left = found.get("ttl") or 0
        ends = left or found.get("expire_time")
        until = f"its token is good for {left // 60} more minutes" if ends else "its token does not end"
        return (
            f"The vault {self._vault.name} at {self._vault.address} knows Opsgate, "
            f"with the policies: {policies}; {until}."
        )

    def _credential(self, client: hvac.Client, identity: Identity) -> Credential:
        mount, path = identity.place
        name = _field(identity)
        if identity.source == "database_static":
            found = client.secrets.database.get_static_credentials(path, mount_point=mount)["data"]
            if found["username"] != identity.username:
                self._refuse("unfit", f"gives another user at {identity.path} than {identity.name} says")
        else:
            _version, found = self._secret(client, identity)
        secret = found.get(name)
        if not isinstance(secret, str) or not secret:
            self._refuse("not_found", f"has no text `{name}` at {identity.path}")
        passphrase = found.get("passphrase") if identity.source == "kv_ssh_key" else None
        return Credential(identity.username, secret, passphrase)

    # -- the next password of an account -------------------------------------------------------
    def _proposed(self, client: hvac.Client, identity: Identity, password: str) -> Pending:
        version, found = self._secret(client, identity)
        name = _pending(identity)
        if isinstance(found.get(name), str):
            return Pending(version, found[name])
        return Pending(self._put(client, identity, {**found, name: password}, version), password)

    def _settled(self, client: hvac.Client, identity: Identity, version: int) -> None:
        name = _pending(identity)
        set_on_host = self._secret(client, identity, version)[1].get(name)
        newest, found = self._secret(client, identity)
        rest = {field: value for field, value in found.items() if field != name}
        if set_on_host is None or set_on_host not in (found.get(name), rest.get(_field(identity))):
            self._refuse("changed", f"has another secret at {identity.path} than its host was given")
        if name in found:
            self._put(client, identity, {**rest, _field(identity): set_on_host}, newest)

    def _secret(
        self, client: hvac.Client, identity: Identity, version: int | None = None
    ) -> tuple[int, dict[str, Any]]:
        """A version of a secret of KV v2, the newest unless another is asked for, and its number."""
        mount, path = identity.place
        answer = client.secrets.kv.v2.read_secret_version(
            path, version=version, mount_point=mount, raise_on_deleted_version=True
        )
        return answer["data"]["metadata"]["version"], dict(answer["data"]["data"])

    def _put(self, client: hvac.Client, identity: Identity, secret: dict[str, Any], newest: int) -> int:
        """Write the version after the newest, unless somebody else has; its number."""
        mount, path = identity.place
        try:
            answer = client.secrets.kv.v2.create_or_update_secret(path, secret, cas=newest, mount_point=mount)
        except exceptions.InvalidRequest as error:
            if "check-and-set" in str(error):
                self._refuse("changed", f"was given another secret at {identity.path} meanwhile")
            raise
        written: int = answer["data"]["version"]
        return written


def _field(identity: Identity) -> str:
    return identity.field or FIELDS[identity.source]


def _pending(identity: Identity) -> str:
    return f"pending_{_field(identity)}"
