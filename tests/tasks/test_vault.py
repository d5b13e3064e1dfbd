"""Reading, rotating and being refused, by a real OpenBao."""

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from definitions.errors import Conflict, NotPermitted, Unavailable
from definitions.identity import Identity, parse_identity
from definitions.permissions import SYSTEM, Actor
from definitions.vault import Vault, parse_vault
from store.connection import Database
from store.identities import IDENTITIES
from store.vaults import VAULTS
from tasks import rotation
from tasks.vault import VaultClient, VaultRefusal
from tests.live.vault import LiveVault


def vault_at(address: str, **auth: str) -> Vault:
    made, problems = parse_vault({"name": "v", "address": address, "auth": auth})
    assert made is not None, problems
    return made


def identity(source: str, path: str, username: str = "deploy", **more: Any) -> Identity:
    document = {"name": "it", "vault": "v", "source": source, "path": path, "username": username, **more}
    made, problems = parse_identity(document)
    assert made is not None, problems
    return made


@pytest.fixture
def client(vault: LiveVault) -> VaultClient:
    """As Opsgate signs in."""
    secret_id = f"file:{vault.bao.secret_id_file}"
    return VaultClient(vault_at(vault.bao.address, method="approle", role_id="opsgate", secret_id=secret_id))


async def refusal(client: VaultClient, asked: Identity) -> VaultRefusal:
    with pytest.raises(VaultRefusal) as refused:
        await client.read(asked)
    return refused.value


async def test_a_password_and_an_ssh_key_are_read(vault: LiveVault, client: VaultClient):
    vault.put("t1/deploy", password="correct horse")
    vault.put("t1/key", private_key="-----BEGIN\nkey\n", passphrase="four words")
    found = await client.read(identity("kv_password", "secret/t1/deploy"))
    assert (found.username, found.secret) == ("deploy", "correct horse")
    assert "correct horse" not in repr(found)
    key = await client.read(identity("kv_ssh_key", "secret/t1/key"))
    assert (key.secret, key.passphrase) == ("-----BEGIN\nkey\n", "four words")


async def test_a_static_role_of_a_database_is_read_and_rotated_for_real(
    vault: LiveVault, client: VaultClient
):
    await vault.static_role("app_t2")
    asked = identity("database_static", "database/app_t2", "app_t2")
    first = await client.read(asked)
    assert await verifies(vault, "app_t2", first.secret)
    await client.rotate(asked)
    second = await client.read(asked)
    assert second.secret != first.secret
    assert await verifies(vault, "app_t2", second.secret)
    assert not await verifies(vault, "app_t2", first.secret)
    other = identity("database_static", "database/app_t2", "somebody_else")
    assert (await refusal(client, other)).kind == "unfit"


async def test_an_identity_is_rotated_by_who_may_and_the_trail_says_so(vault: LiveVault, db: Database):
    await vault.static_role("app_t4")
    asked = identity("database_static", "database/app_t4", "app_t4")
    secret_id = f"file:{vault.bao.secret_id_file}"
    auth = {"method": "approle", "role_id": "opsgate", "secret_id": secret_id}
    await VAULTS.put(db, SYSTEM, vault_at(vault.bao.address, **auth))
    await IDENTITIES.put(db, SYSTEM, asked)
    client = VaultClient(vault_at(vault.bao.address, **auth))
    before = (await client.read(asked)).secret
    with pytest.raises(NotPermitted):
        await rotation.rotate(db, Actor("user", 1, "vi", frozenset({"pam_vaults.view"})), "it")
    assert "has a new password" in (await rotation.rotate(db, SYSTEM, "it")).message
    assert not await verifies(vault, "app_t4", before)
    await IDENTITIES.put(db, SYSTEM, identity("database_static", "database/none", "none"))
    with pytest.raises(Unavailable, match=r"has nothing at that path\.$"):
        await rotation.rotate(db, SYSTEM, "it")
    await IDENTITIES.put(db, SYSTEM, identity("kv_password", "secret/x"))
    with pytest.raises(Conflict):
        await rotation.rotate(db, SYSTEM, "it")
    rows = await db.fetch("SELECT action FROM audit WHERE action LIKE 'identity.rotate%' ORDER BY id")
    assert [row["action"] for row in rows] == ["identity.rotate", "identity.rotate_failed"]


async def verifies(vault: LiveVault, role: str, password: str) -> bool:
    """Whether this is the role's password, by what the cluster keeps of it (SCRAM)."""
    connection = await asyncpg.connect(vault.postgres.url("postgres"))
    try:
        kept: str = await connection.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", role)
    finally:
        await connection.close()
    _, salted, keys = kept.split("$")
    rounds, salt = salted.split(":")
    mixed = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    client_key = hmac.digest(mixed, b"Client Key", "sha256")
    return base64.b64encode(hashlib.sha256(client_key).digest()).decode() == keys.split(":")[0]


async def test_a_test_says_as_what_opsgate_is_known(client: VaultClient):
    assert "knows Opsgate, with the policies: opsgate; its token is good for" in await client.test()


async def test_what_is_not_there_and_what_is_not_allowed_are_told_apart(
    vault: LiveVault, client: VaultClient
):
    vault.put("t3/odd", other="x")
    assert (await refusal(client, identity("kv_password", "secret/t3/none"))).kind == "not_found"
    assert (await refusal(client, identity("kv_password", "secret/t3/odd"))).kind == "not_found"
    assert (await refusal(client, identity("database_static", "database/none"))).kind == "not_found"
    assert (await refusal(client, identity("kv_password", "elsewhere/x"))).kind == "denied"


class Answering(HTTPServer):
    """A server that answers everything alike, and counts."""

    status, location, asked, slow = 503, "", 0, 0.0


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.slow:
            threading.Event().wait(self.server.slow)
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[Callable[..., Answering]]:
    """Servers of this test."""
    made: list[Answering] = []

    def start(**behaviour: Any) -> Answering:
        server = Answering(("127.0.0.1", 0), _Handler)
        vars(server).update(behaviour)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        made.append(server)
        return server

    yield start
    for server in made:
        server.shutdown()
        server.server_close()


@pytest.fixture
def token(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text("hvs.word")
    return f"file:{path}"


async def test_the_token_follows_no_redirect(answering: Callable[..., Answering], token: str):
    elsewhere = answering(status=200)
    here = answering(status=307, location=f"http://127.0.0.1:{elsewhere.server_port}/")
    client = VaultClient(vault_at(f"http://127.0.0.1:{here.server_port}", method="token", token=token))
    assert (await refusal(client, identity("kv_password", "secret/x"))).kind == "unfit"
    assert (here.asked, elsewhere.asked) == (1, 0)
