"""Rotation for real: after it the vault's password logs in and the one before does not, whatever died.

The process that rotates is killed at every named point of a rotation and another goes on; logging in is
`su` on a terminal and a real login to PostgreSQL. With the keeper of a whole stack: `test_canary.py`.
"""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from store import identities
from store.connection import Database
from store.failpoints import POINTS
from tests.deployments.conftest import Server, connection, web_process
from tests.live.logins import account, account_lets_in, role_lets_in
from tests.live.passing_vault import free_port
from tests.live.stack import until
from tests.live.vault import LiveVault

pytestmark = pytest.mark.root

BY_VAULT = ("rotation.begun", "rotation.vault_turned")
BY_HOST = sorted({point for point in POINTS if point.startswith("rotation.")} - {*BY_VAULT})


@dataclass
class Estate:
    """A web process, a vault, and the agent of the host `web-1`."""

    server: Server
    vault: LiveVault
    folder: Path
    agent: subprocess.Popen[bytes] | None = None
    forks: subprocess.Popen[bytes] | None = None
    """Where the processes that rotate come from."""

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A program of ours beside them."""
        environment = dict(os.environ)
        environment["OPSGATE_DATABASE_URL"] = self.server.database_url
        environment["OPSGATE_SEALING_KEY_FILE"] = str(self.server.folder.secret_file("sealing-key"))
        command = [sys.executable, "-m", *arguments]
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def start_agent(self) -> None:
        self.agent = self.run("agent", "run", "--state", str(self.folder / "agent"), "--grace", "0")

    def save(self, name: str, **identity: Any) -> None:
        defaults = {"kind": "identity", "name": name, "vault": "main", "rotate_after_use": True}
        document = {**defaults, **identity}
        connection(self.server).put(f"/identities/by-name/{name}", document)

    def identity(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = connection(self.server).get(f"/identities/{name}")
        return found

    def use(self, name: str) -> None:
        """As after a check-in."""
        asyncio.run(self._mark(self.identity(name)["id"]))

    async def _mark(self, number: int) -> None:
        db = await Database.connect(self.server.database_url, max_size=1)
        async with db.transaction() as tx:
            assert await identities.mark_for_rotation(tx, number, "It was used.")
        await db.close()

    def killed_at(self, point: str) -> None:
        """A process rotates, and is killed there."""
        armed = self.folder / "armed"
        armed.write_text(point)
        self._fork(str(armed))
        assert self._line() == -signal.SIGKILL
        assert armed.with_suffix(".hit").exists()

    @contextmanager
    def rotating(self) -> Iterator[None]:
        """A process rotates for the time of the block."""
        child = self._fork()
        try:
            yield
        finally:
            os.kill(child, signal.SIGKILL)
            assert self._line() == -signal.SIGKILL

    def _fork(self, failpoint: str = "") -> int:
        if self.forks is None:
            self.forks = self.run("tests.live.rotating")
        assert self.forks.stdin is not None
        self.forks.stdin.write(f"{failpoint}\n".encode())
        self.forks.stdin.flush()
        return self._line()

    def _line(self) -> int:
        assert self.forks is not None
        assert self.forks.stdout is not None
        return int(self.forks.stdout.readline())

    def rotated(self, name: str) -> None:
        with self.rotating():
            until(lambda: self.identity(name)["rotated_at"], 60, f"{name} to be rotated")


@pytest.fixture(scope="module")
def estate(
    postgres: str, migrated_template: str, vault: LiveVault, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Estate]:
    folder = tmp_path_factory.mktemp("estate")
    with ExitStack() as ends:
        server = ends.enter_context(web_process(postgres, migrated_template, folder))
        found = Estate(server, vault, folder)
        auth = {"method": "approle", "role_id": "opsgate", "secret_id": f"file:{vault.bao.secret_id_file}"}
        document = {"kind": "vault", "name": "main", "address": vault.bao.address, "auth": auth}
        connection(server).put("/vaults/by-name/main", document)
        made = connection(server).post("/org-secrets", {"name": "w", "max_uses": 1, "lifetime_minutes": 10})
        (folder / "secret").write_text(made["secret"])
        arguments = ["--server", server.url, "--secret-file", str(folder / "secret")]
        arguments += ["--state", str(folder / "agent"), "--hostname", "web-1"]
        enrolling = found.run("agent", "enrol", *arguments)
        enrolling.communicate(timeout=60)
        assert enrolling.returncode == 0
        found.start_agent()
        try:
            yield found
        finally:
            for process in (found.agent, found.forks):
                if process is not None:
                    process.terminate()
                    process.communicate(timeout=20)


@pytest.fixture
def user(estate: Estate) -> Iterator[str]:
    """A local account whose password, `first one`, the vault has at `secret/NAME` beside a note."""
    with account("first one") as name:
        estate.vault.put(name, password="first one", note="kept")
        source = {"source": "kv_password", "path": f"secret/{name}", "username": name, "host": "web-1"}
        estate.save(identity_of(name), **source)
        yield name


def identity_of(user: str) -> str:
    return user.replace("-", "_")


@pytest.fixture
def role(estate: Estate) -> str:
    """A role whose password the vault looks after."""
    name = f"app_{secrets.token_hex(4)}"
    asyncio.run(estate.vault.static_role(name))
    estate.save(name, source="database_static", path=f"database/{name}", username=name)
    return name


@pytest.mark.parametrize("point", BY_HOST)
def test_an_account_of_a_host_has_the_vaults_new_password_whatever_died(
    estate: Estate, user: str, point: str
) -> None:
    estate.use(identity_of(user))
    estate.killed_at(point)
    kept = estate.vault.secret(user)[1]
    assert any(account_lets_in(user, kept[field]) for field in kept if field != "note"), "it is lost"
    estate.rotated(identity_of(user))
    version, found = estate.vault.secret(user)
    assert (sorted(found), found["note"]) == (["note", "password"], "kept")
    assert account_lets_in(user, found["password"])
    assert not account_lets_in(user, "first one")
    assert version == 3, "one pending and one current version, whoever wrote them"


@pytest.mark.parametrize("point", BY_VAULT)
async def test_a_role_of_a_database_has_the_vaults_new_password_whatever_died(
    estate: Estate, role: str, point: str
) -> None:
    url, before = estate.vault.login_url(role), estate.vault.password_of(role)
    assert await role_lets_in(url, role, before)

    def killed_and_rotated() -> None:
        estate.use(role)
        estate.killed_at(point)
        estate.rotated(role)

    await asyncio.to_thread(killed_and_rotated)
    assert await role_lets_in(url, role, estate.vault.password_of(role))
    assert not await role_lets_in(url, role, before)


def test_a_person_rotates_an_account_and_is_told_when_it_is_done(estate: Estate, user: str) -> None:
    said = connection(estate.server).post(f"/identities/{identity_of(user)}/rotate")
    assert said["done"], said
    found = estate.vault.secret(user)[1]["password"]
    assert (account_lets_in(user, found), account_lets_in(user, "first one")) == (True, False)


def test_what_a_host_refuses_is_tried_again_with_the_same_password_and_then_quarantined(
    estate: Estate, user: str
) -> None:
    name = identity_of(user)
    subprocess.run(["usermod", "--login", f"{user}x", user], check=True)
    try:
        estate.use(name)
        with estate.rotating():
            until(lambda: asyncio.run(hurried(estate, name)), 60, "the quarantine")
    finally:
        subprocess.run(["usermod", "--login", user, f"{user}x"], check=True)
    shown = estate.identity(name)
    assert "on web-1 ended as failed" in shown["quarantine_reason"]
    pending = estate.vault.secret(user)
    assert (pending[0], pending[1]["password"]) == (2, "first one")
    said = connection(estate.server).post(f"/identities/{name}/rotate")
    assert said["done"], said
    assert estate.identity(name)["quarantined_at"] is None
    current = estate.vault.secret(user)[1]["password"]
    assert current == pending[1]["pending_password"]
    assert account_lets_in(user, current)


def test_while_its_vault_is_away_nothing_is_lost_and_then_it_is_rotated(estate: Estate, role: str) -> None:
    auth = {"method": "approle", "role_id": "opsgate", "secret_id": f"file:{estate.vault.bao.secret_id_file}"}
    address = f"http://127.0.0.1:{free_port()}"
    away = {"kind": "vault", "name": f"v-{role}", "address": address, "auth": auth}
    connection(estate.server).put(f"/vaults/by-name/v-{role}", away)
    source = {"source": "database_static", "path": f"database/{role}", "username": role}
    estate.save(role, **source, vault=f"v-{role}")
    before = estate.vault.password_of(role)
    estate.use(role)
    with estate.rotating():
        until(lambda: estate.identity(role)["rotation_error"], 60, "a try that fails")
        assert "does not answer: nothing listens there." in estate.identity(role)["rotation_error"]
        back = {**away, "address": estate.vault.bao.address}
        connection(estate.server).put(f"/vaults/by-name/v-{role}", back)
        asyncio.run(hurried(estate, role))
        until(lambda: estate.identity(role)["rotated_at"], 60, "it to be rotated")
    assert estate.vault.password_of(role) != before
    assert estate.identity(role)["rotation_error"] == ""


async def hurried(estate: Estate, name: str) -> bool:
    """Pauses pass; whether it is quarantined."""
    db = await Database.connect(estate.server.database_url, max_size=1)
    try:
        await db.execute("UPDATE identities SET rotation_not_before = now() WHERE name = $1", name)
        found: bool = await db.fetchval(
            "SELECT quarantined_at IS NOT NULL FROM identities WHERE name = $1", name
        )
        return found
    finally:
        await db.close()
