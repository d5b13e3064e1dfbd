"""Starts the whole embedded stack in order, in parallel where nothing depends, and stops it again.

    PostgreSQL ─┬─ Prefect server ───────────── worker (waits for Prefect by itself)
                └─ schema, people, profile ─ web

The children get their settings by environment; secrets they read from files of the data folder.
"""

import asyncio
import http.client
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.stack.data_folder import DataFolder, write_private
from deployments.stack.first_start import Welcome, prepare
from deployments.stack.postgres import Postgres
from deployments.stack.prefect_server import PrefectServer, prefect_environment
from deployments.stack.processes import Child, Processes
from store.audit_keys import read_signer

START_LIMIT = 120.0
"""Seconds a part may take to answer; a cold disk and a first migration of Prefect included."""


@dataclass(frozen=True)
class Stack:
    """A stack that answers."""

    folder: DataFolder
    processes: Processes
    url: str
    prefect: PrefectServer
    welcome: Welcome
    environment: Mapping[str, str]

    def program(self, name: str, *arguments: str, folder: Path | None = None) -> Child:
        """A further child in the same environment, e.g. an agent: `python -m ...`."""
        command = [sys.executable, "-m", *arguments]
        return Child(name, command, self.folder.log(name), self.environment, folder)


@asynccontextmanager
async def running(
    folder: DataFolder, *, second_person: bool, say: Callable[[str], None], engine_steps: bool = False
) -> AsyncIterator[Stack]:
    """The stack on one data folder, for as long as the block lasts. Leaves no process behind.

    `engine_steps`: allow workflows to run steps on this machine itself, whatever opsgate.toml says.
    """
    with folder.claim():
        processes = Processes()
        try:
            yield await _start(folder, processes, second_person, say, engine_steps)
        finally:
            await asyncio.shield(processes.stop())


async def _start(
    folder: DataFolder,
    processes: Processes,
    second_person: bool,
    say: Callable[[str], None],
    engine_steps: bool,
) -> Stack:
    ports = folder.ports()
    url = f"http://127.0.0.1:{ports.web}"
    say(f"Starting in {folder.path}: PostgreSQL, Prefect, web, worker.")
    postgres = Postgres(folder)
    await postgres.start(processes)
    prefect = PrefectServer(folder, ports.prefect, postgres.url("prefect"))
    server = await prefect.start(processes)
    welcome = await prepare(postgres.url("opsgate"), folder, url, second_person=second_person)
    _introduce(welcome, say)
    audit_key = folder.secret_file("audit-key")
    public_keys = folder.path / "audit-public-keys"
    write_private(public_keys, read_signer(audit_key).public_lines())
    environment = {
        **_own_environment(),
        **prefect_environment(prefect.client_home),
        "OPSGATE_DATA_DIR": str(folder.path),
        "OPSGATE_DATABASE_URL": postgres.url("opsgate"),
        "OPSGATE_SEALING_KEY_FILE": str(folder.secret_file("sealing-key")),
        "OPSGATE_AUDIT_KEY_FILE": str(audit_key),
        "OPSGATE_AUDIT_PUBLIC_KEYS_FILE": str(public_keys),
        "OPSGATE_PUBLIC_URL": url,
        "OPSGATE_WEB_HOST": "127.0.0.1",
        "OPSGATE_WEB_PORT": str(ports.web),
        # On loopback; an opsgate.toml in this folder may name a certificate for another address.
        "OPSGATE_WEB_TLS_CERT": "",
        "OPSGATE_WEB_TLS_KEY": "",
        "OPSGATE_PREFECT_API_URL": prefect.api_url,
        "OPSGATE_PREFECT_UI_URL": prefect.url,
        "OPSGATE_PREFECT_AUTH_FILE": str(prefect.auth_file),
        **({"OPSGATE_ENGINE_STEPS": "true"} if engine_steps else {}),
    }
    stack = Stack(folder, processes, url, prefect, welcome, environment)
    web = stack.program("web", "deployments.cli", "web")
    await processes.start(web)
    await processes.start(stack.program("worker", "deployments.cli", "worker"))
    await processes.until(lambda: web_answers(ports.web), web, START_LIMIT)
    await processes.until(prefect.answers, server, START_LIMIT)
    return stack


def _own_environment() -> dict[str, str]:
    """Where Python finds this program, whatever folder a child starts in."""
    root = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([root, inherited] if inherited else [root])}


def _introduce(welcome: Welcome, say: Callable[[str], None]) -> None:
    if welcome.admin_password is not None:
        say(f"  Created admin, password {welcome.admin_password} (shown only now).")
    if welcome.second_password is not None:
        say(f"  Created bob, who may approve, password {welcome.second_password}")


def web_answers(port: int) -> bool:
    """Whether the web process on this port of loopback says that it is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
