"""Speaks to a vault, HashiCorp's or OpenBao: KV v2 and static roles of databases. Nobody else does.

Every call ends: each try has a deadline, what may pass is tried again, and what is refused says which
of five things is wrong, in a sentence without the secret. Signs in anew for every call: no token rests.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeVar
from weakref import WeakKeyDictionary

import hvac
import requests
from hvac import exceptions

from definitions.errors import Unavailable
from definitions.identity import FIELDS, Identity
from definitions.vault import AppRoleAuth, Vault
from tasks.secret_places import read_place

T = TypeVar("T")
Kind = Literal["sealed", "unreachable", "denied", "not_found", "unfit"]

TRY_SECONDS = (3.0, 8.0)
"""To connect, and between two parts of an answer."""
PAUSES = (0.3, 1.0)
"""Before the second and the third try."""
MOST_SECONDS = 30.0
"""After which a call is given up, whatever the vault does."""


class VaultRefusal(Unavailable):
    """The vault did not give it; `kind` says why."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


PASSING: tuple[Kind, ...] = ("sealed", "unreachable")
"""What may be over at the next try."""

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

    async def read(self, identity: Identity, seconds: float = MOST_SECONDS) -> Credential:
        """The credential of an identity, now, given up after so many seconds."""
        return await self._call(lambda client: self._credential(client, identity), seconds)

    async def rotate(self, identity: Identity) -> None:
        """Let the vault give the database role of an identity a new password."""
        mount, role = identity.place

        def turn(client: hvac.Client) -> None:
            client.secrets.database.rotate_static_role_credentials(role, mount_point=mount)

        await self._call(turn)

    # -- calling -------------------------------------------------------------------------------
    async def _call(self, work: Callable[[hvac.Client], T], seconds: float = MOST_SECONDS) -> T:
        loop = asyncio.get_running_loop()
        until = time.monotonic() + seconds
        place = _busy.setdefault(loop, {}).setdefault(self._vault.address, asyncio.Semaphore(_AT_ONCE))
        try:
            async with asyncio.timeout(seconds):
                await place.acquire()
                # The place is taken for as long as the thread, not only for as long as somebody waits for it.
                running = loop.run_in_executor(_THREADS, self._tried, work, until)
                running.add_done_callback(lambda done: _leave(place, done))
                return await asyncio.shield(running)
        except TimeoutError:
            self._refuse("unreachable", f"did not finish its answer within {seconds:.0f} s")

    def _tried(self, work: Callable[[hvac.Client], T], until: float) -> T:
        """Call, and again what may pass, as long as there is time."""
        for pause in (*PAUSES, None):
            try:
                return self._once(work, until - time.monotonic())
            except VaultRefusal as refusal:
                if refusal.kind not in PASSING or pause is None or time.monotonic() + pause >= until:
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _once(self, work: Callable[[hvac.Client], T], left: float) -> T:
        with requests.Session() as session:
            # Neither proxies nor .netrc of whoever runs us; a redirect would carry the token elsewhere.
            session.trust_env = False
            session.verify = self._vault.ca_file or True
            client = hvac.Client(
                url=self._vault.address,
                token="",
                namespace=self._vault.namespace,
                timeout=tuple(min(seconds, max(left, 0.1)) for seconds in TRY_SECONDS),
                allow_redirects=False,
                session=session,
            )
            try:
                self._sign_in(client)
                return work(client)
            except (exceptions.VaultError, requests.RequestException, OSError) as error:
                self._explain(error)
            except (KeyError, TypeError, AttributeError, ValueError):
                self._refuse("unfit", "answers as no vault does: is the address right?")

    def _sign_in(self, client: hvac.Client) -> None:
        auth = self._vault.auth
        if not isinstance(auth, AppRoleAuth):
            client.token = self._secret_in(auth.token)
            return
        secret_id = self._secret_in(auth.secret_id)
        try:
            client.auth.approle.login(auth.role_id, secret_id, mount_point=auth.mount)
        except exceptions.InvalidRequest:
            self._refuse("denied", "does not know the AppRole: its role id or its secret id is wrong or over")

    def _explain(self, error: Exception) -> NoReturn:
        """The error in our words: what the vault or the library say may hold what was asked for."""
        if isinstance(error, exceptions.VaultDown):
            self._refuse("sealed", "is sealed: unseal it")
        if isinstance(error, exceptions.VaultNotInitialized):
            self._refuse("sealed", "is not initialised")
        if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
            self._refuse("denied", "refuses: the token is not valid, or its policy does not allow this")
        if isinstance(error, exceptions.InvalidPath) or "unknown role" in str(error):
            self._refuse("not_found", "has nothing at that path")
        if isinstance(error, exceptions.InvalidRequest):
            self._refuse("unfit", "does not take the request: is the engine of the kind the identity says?")
        if isinstance(error, requests.exceptions.SSLError):
            self._refuse("unreachable", "shows a certificate that is not trusted here: see `ca_file`")
        if isinstance(error, exceptions.VaultError):
            self._refuse("unreachable", f"is in trouble ({type(error).__name__})")
        if isinstance(error, requests.Timeout):
            self._refuse("unreachable", "does not answer in time")
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
            self._refuse("unreachable", "can't be asked: its `ca_file` can't be read here")
        self._refuse("unreachable", "does not answer")

    def _refuse(self, kind: Kind, said: str) -> NoReturn:
        raise VaultRefusal(kind, f"The vault {self._vault.name} at {self._vault.address} {said}.") from None

    # -- what is asked -------------------------------------------------------------------------
    def _tested(self, client: hvac.Client) -> str:
        found: dict[str, Any] = client.auth.token.lookup_self()["data"]
        policies = ", ".join(sorted(map(str, found.get("policies") or []))) or "none"
        left = found.get("ttl") or 0
        until = f"its token is good for {left // 60} more minutes" if left else "its token does not end"
        return (
            f"The vault {self._vault.name} at {self._vault.address} knows Opsgate, "
            f"with the policies: {policies}; {until}."
        )

    def _credential(self, client: hvac.Client, identity: Identity) -> Credential:
        mount, path = identity.place
        name = identity.field or FIELDS[identity.source]
        if identity.source == "database_static":
            found = client.secrets.database.get_static_credentials(path, mount_point=mount)["data"]
            if found["username"] != identity.username:
                self._refuse("unfit", f"gives another user at {identity.path} than {identity.name} says")
        else:
            kv = client.secrets.kv.v2
            answer = kv.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True)
            found = answer["data"]["data"]
        secret = found.get(name)
        if not isinstance(secret, str) or not secret:
            self._refuse("not_found", f"has no text `{name}` at {identity.path}")
        passphrase = found.get("passphrase") if identity.source == "kv_ssh_key" else None
        return Credential(identity.username, secret, passphrase)
