"""A real web process on a fresh database, and the command line in this process talking to it."""

import asyncio
import base64
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deployments.cli import app, profile
from deployments.cli.connection import Connection
from deployments.stack.data_folder import DataFolder
from deployments.stack.first_start import Welcome, prepare
from store.audit_keys import read_signer
from tests.deployments.private_ca import PrivateCa
from tests.live.fresh_database import database_of_its_own


@dataclass(frozen=True)
class Server:
    """Where the web process is, and who may sign in."""

    url: str
    folder: DataFolder
    welcome: Welcome
    database_url: str


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Opsgate = Callable[..., Ran]
Enrol = Callable[[str], str]


@pytest.fixture(scope="package")
def server(
    postgres: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with web_process(postgres, migrated_template, tmp_path_factory.mktemp("cli")) as running:
        yield running


@pytest.fixture(scope="package")
def keyed_server(
    postgres: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One that has a sealing key, and knows the public half of `audit-key` in its folder's parent."""
    folder = tmp_path_factory.mktemp("keyed")
    for name in ("sealing-key", "audit-key"):
        (folder / name).write_text("s" * 43)
        (folder / name).chmod(0o600)
    public = folder / "audit-key.pub"
    public.write_text(read_signer(folder / "audit-key").public_lines())
    more = {
        "OPSGATE_SEALING_KEY_FILE": str(folder / "sealing-key"),
        "OPSGATE_AUDIT_PUBLIC_KEYS_FILE": str(public),
    }
    with web_process(postgres, migrated_template, folder, more=more) as running:
        yield running


@contextmanager
def web_process(
    postgres: str,
    template: str,
    folder: Path,
    ca: PrivateCa | None = None,
    more: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A web process on a database of its own; with a CA it speaks TLS with a certificate of it."""
    with database_of_its_own(postgres, template) as url, _serving(url, folder, ca, more or {}) as running:
        yield running


@contextmanager
def _serving(url: str, folder: Path, ca: PrivateCa | None, more: Mapping[str, str]) -> Iterator[Server]:
    data = DataFolder(folder / "data")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"OPSGATE_DATABASE_URL": url, "OPSGATE_WEB_PORT": str(port), **more}
    environment = {**os.environ, **settings}
    address = f"http://127.0.0.1:{port}"
    if ca is not None:
        address = f"https://localhost:{port}"
        certificate, key = ca.certificate("web")
        environment |= {"OPSGATE_WEB_TLS_CERT": str(certificate), "OPSGATE_WEB_TLS_KEY": str(key)}
    welcome = asyncio.run(prepare(url, data, address, second_person=True))
    environment["OPSGATE_PUBLIC_URL"] = address
    environment["OPSGATE_SEALING_KEY_FILE"] = str(data.secret_file("sealing-key"))
    process = subprocess.Popen([sys.executable, "-m", "deployments.cli", "web"], env=environment)
    try:
        wait_until_ready(address, ca)
        yield Server(address, data, welcome, url)
    finally:
        process.terminate()
        process.wait(20)


def wait_until_ready(address: str, ca: PrivateCa | None = None) -> None:
    trust = None if ca is None else ssl.create_default_context(cafile=ca.file)
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=2, context=trust):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, "the web process did not answer"
            time.sleep(0.05)


def connection(server: Server) -> Connection:
    """To the server, as its administrator."""
    kept = profile.read(server.folder.path / profile.NAME)
    assert kept is not None
    return Connection(kept.url, kept.token, kept.ca)


@pytest.fixture
def opsgate(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Opsgate:
    """Run a command; nothing of the machine's own configuration is seen."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPSGATE_URL", "OPSGATE_TOKEN", "OPSGATE_DATA_DIR", "OPSGATE_CA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def run(*arguments: str, beside: Server | None = None) -> Ran:
        if beside is not None:
            monkeypatch.setenv("OPSGATE_DATA_DIR", str(beside.folder.path))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            app.main(list(arguments))
        out, err = capfd.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def enrol(opsgate: Opsgate, server: Server, request: pytest.FixtureRequest) -> Enrol:
    """Enrol a host under a name of this test's own; returns the name."""

    def join(name: str) -> str:
        secret = opsgate("org-secret", "create", name, beside=server).out.strip()
        hostname = f"{name}-{abs(hash(request.node.name)) % 10**8}"
        body = {
            "org_secret": secret,
            "hostname": hostname,
            "os": "linux",
            "public_key": base64.b64encode(os.urandom(32)).decode(),
            "version": "0.1.0",
            "facts": {"kernel": "6.1\x1b[2J"},
        }
        answer = httpx2.post(f"{server.url}/agent/v1/enrol", json=body)
        assert answer.status_code == 200, answer.text
        return hostname

    return join
