"""A real OpenBao on the embedded PostgreSQL, as the stack runs it, and what tests put into it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from deployments.stack.data_folder import DataFolder
from deployments.stack.openbao import OpenBao
from deployments.stack.postgres import Postgres
from deployments.stack.processes import Processes
from tests.live.stack import LiveStack


@dataclass(frozen=True)
class LiveVault:
    """A vault that gives secrets, the cluster it lives in, and its processes."""

    folder: DataFolder
    bao: OpenBao
    postgres: Postgres
    processes: Processes

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> httpx2.Response:
        """A request with the root token, or another."""
        token = self.bao.root_token_file.read_text() if token is None else token
        headers = {"X-Vault-Token": token}
        with httpx2.Client(base_url=f"{self.bao.address}/v1", headers=headers, trust_env=False) as client:
            return client.request(method, path, json=body)

    def put(self, path: str, **secret: str) -> None:
        """Keep a secret of KV v2."""
        answer = self.ask("POST", f"/secret/data/{path}", {"data": secret})
        assert answer.status_code == 200, answer.text

    def secret(self, path: str) -> tuple[int, dict[str, str]]:
        """The newest version of a secret of KV v2: its number, and what is in it."""
        answer = self.ask("GET", f"/secret/data/{path}")
        assert answer.status_code == 200, answer.text
        found = answer.json()["data"]
        return found["metadata"]["version"], found["data"]

    def password_of(self, role: str) -> str:
        """What the vault says is the password of a static role."""
        answer = self.ask("GET", f"/database/static-creds/{role}")
        assert answer.status_code == 200, answer.text
        password: str = answer.json()["data"]["password"]
        return password

    def login_url(self, role: str) -> str:
        """Where the role of `static_role` logs in."""
        return self.postgres.url("postgres", role)

    async def static_role(self, role: str) -> None:
        """A role of the vault's own cluster, whose password the vault looks after from now on."""
        rules = self.folder.path / "postgres" / "pg_hba.conf"
        # Otherwise the cluster asks the kernel who connects, and nobody for a password.
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        connection = await asyncpg.connect(self.postgres.url("postgres"))
        try:
            await connection.execute(f"CREATE ROLE {role} LOGIN")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()
        config = {"plugin_name": "postgresql-database-plugin", "allowed_roles": "*"}
        config["connection_url"] = self.postgres.url("postgres")
        made = self.ask("POST", "/database/config/cluster", config)
        assert made.status_code in (200, 204), made.text
        asked = {"db_name": "cluster", "username": role, "rotation_period": "24h"}
        made = self.ask("POST", f"/database/static-roles/{role}", asked)
        assert made.status_code in (200, 204), made.text

    def signed_in(self) -> str:
        """The token that Opsgate's AppRole gets."""
        body = {"role_id": "opsgate", "secret_id": self.bao.secret_id_file.read_text()}
        answer = self.ask("POST", "/auth/approle/login", body, token="")
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["auth"]["client_token"]
        return token

    def answers(self) -> bool:
        """Whether it gives secrets."""
        try:
            return self.ask("GET", "/sys/health").status_code == 200
        except httpx2.HTTPError:
            return False

    async def until_it_answers(self) -> None:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(self.answers):
                await asyncio.sleep(0.05)


def vault_of(live: LiveStack) -> LiveVault:
    """The vault of a running stack."""
    assert live.stack.vault is not None
    return LiveVault(live.folder, live.stack.vault, Postgres(live.folder), live.stack.processes)


@asynccontextmanager
async def running_vault(path: Path) -> AsyncIterator[LiveVault]:
    """PostgreSQL and the vault of a data folder, for as long as the block lasts."""
    processes, folder = Processes(), DataFolder(path)
    postgres = Postgres(folder)
    bao = OpenBao(folder, folder.ports().vault, postgres)
    try:
        await postgres.start(processes)
        await bao.start(processes)
        yield LiveVault(folder, bao, postgres, processes)
    finally:
        await processes.stop()


class VaultThread:
    """A vault that outlives one test: its processes belong to a loop of their own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started: Future[LiveVault] = Future()
        self._thread = threading.Thread(target=self._run, name="live-vault")

    def start(self) -> LiveVault:
        self._thread.start()
        return self._started.result(120)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        try:
            async with running_vault(self._path) as vault:
                self._started.set_result(vault)
                await self._stop.wait()
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)
