"""Identities with something real behind them: a role of PostgreSQL, an account of this machine by a root
agent, an account by an agent that is not root and has to log in by `su`.

Each knows the command by which a job logs in and notes as whom, and how to try a password afterwards.
"""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from tests.live.databases import execute
from tests.live.logins import account, account_lets_in, role_lets_in
from tests.live.stack import LiveStack, until
from tests.live.vault import LiveVault, vault_of

Kind = Literal["role", "account", "su"]


@dataclass(frozen=True)
class KnownAs:
    """An identity of the name of its role or account."""

    vault: LiveVault
    kind: Kind
    user: str
    first: str
    """Its password at the beginning."""
    host: str
    """Where jobs can run by it."""
    notes: Path
    """The line in it says as whom a job has logged in; a second line, that it did so twice."""

    @property
    def name(self) -> str:
        return self.user.replace("-", "_")

    @property
    def is_rotated(self) -> bool:
        """An agent that is not root sets nobody's password."""
        return self.kind != "su"

    @property
    def log_in(self) -> str:
        """A command, or the first of several."""
        if self.kind != "role":
            return f"id -un >> {self.notes}"
        socket = parse_qs(urlsplit(self.vault.login_url(self.user)).query)["host"][0]
        asks = f'psql -X -w -At -h {socket} -d postgres -c "SELECT session_user"'
        return f"{asks} >> {self.notes}"

    def logged_in(self) -> bool:
        return self.notes.exists() and self.notes.read_text().endswith("\n")

    def current(self) -> str:
        """The password, as the vault has it now."""
        if self.kind == "role":
            return self.vault.password_of(self.user)
        return self.vault.secret(self.user)[1]["password"]

    def lets_in(self, password: str) -> bool:
        """Whether it can be logged in to by this password, by doing so."""
        if self.kind == "role":
            return asyncio.run(role_lets_in(self.vault.login_url(self.user), self.user, password))
        return account_lets_in(self.user, password)


class Makes:
    """Makes identities of a running stack; they are gone with the block."""

    def __init__(self, live: LiveStack, notes: Path, ends: ExitStack) -> None:
        self._live, self._notes, self._ends = live, notes, ends
        self.vault = vault_of(live)

    def one(self, kind: Kind, host: str, **more: Any) -> KnownAs:
        """A new identity, rotated after use where that can be, on a host with a fitting agent."""
        if kind == "role":
            user = f"whole_{secrets.token_hex(4)}"
            self._live.call(self.vault.static_role(user))
            first = self.vault.password_of(user)
            source: dict[str, Any] = {"source": "database_static", "path": f"database/{user}"}
        else:
            first = f"first-{secrets.token_hex(12)}"
            user = self._ends.enter_context(account(first))
            self.vault.put(user, password=first)
            source = {"source": "kv_password", "path": f"secret/{user}"}
        made = KnownAs(self.vault, kind, user, first, host, self._notes / user)
        document = {"name": made.name, "vault": "local", "username": user, **source}
        document |= {"rotate_after_use": made.is_rotated, "host": host if kind == "account" else None}
        answer = self._live.admin.put(f"/identities/by-name/{made.name}", json={**document, **more})
        assert answer.status_code == 201, answer.text
        return made


@contextmanager
def makes(live: LiveStack, notes: Path) -> Iterator[Makes]:
    """`notes`: a folder in which everybody may write."""
    with ExitStack() as ends:
        yield Makes(live, notes, ends)


def rotated(live: LiveStack, used: Sequence[KnownAs]) -> None:
    """Until each of them has been for the first time. A vault that was away costs pauses between the tries;
    here they pass at once."""
    left = {known.name for known in used}
    tried = "UPDATE identities SET rotation_not_before = now() WHERE name = ANY ($1)"

    def done() -> bool:
        execute(live, tried, list(left))
        left.difference_update(
            [name for name in left if live.admin.get(f"/identities/{name}").json()["rotated_at"]]
        )
        return not left

    until(done, 120, "all that was used to be rotated")
