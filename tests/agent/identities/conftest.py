"""Real users of this host, an agent that is one of them, and credentials sealed as the server seals them."""

import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent import identity
from agent.protocol import Credential
from store.sealing import seal_to_agent
from tests.agent.conftest import TOKEN, FakeServer, Job, Runs
from tests.live.of_user import ENVIRONMENT, python_for_all


@pytest.fixture
def user() -> Iterator[pwd.struct_passwd]:
    """A real user with a home, a second group and no password yet; gone after the test."""
    name = f"og-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--create-home", "--groups", "games", "-s", "/bin/bash", name], check=True)
    yield pwd.getpwnam(name)
    subprocess.run(["pkill", "-KILL", "-U", name], check=False)
    subprocess.run(["userdel", "--force", "--remove", name], capture_output=True, check=True)


def set_password(user: pwd.struct_passwd, password: str) -> None:
    subprocess.run(["chpasswd"], input=f"{user.pw_name}:{password}\n".encode(), check=True)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in which everybody may write."""
    folder = Path(tempfile.mkdtemp(prefix="og-shared-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@dataclass
class Unprivileged(Runs):
    """An agent that runs as a user who has no rights beyond."""

    user: str = ""
    more: dict[str, str] = field(default_factory=dict)
    """Of its environment."""

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        with (self.folder.parent / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [python_for_all(), "-m", "agent", "run", "--state", str(self.folder), *options],
                env={**ENVIRONMENT, **self.more},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user,
                group=self.user,
                extra_groups=[],
            )
        return self.process


@pytest.fixture
async def unprivileged(server: FakeServer) -> AsyncIterator[Unprivileged]:
    """An enrolled agent of an ordinary user, not running yet."""
    name = f"og-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--create-home", name], check=True)
    outer = Path(tempfile.mkdtemp(prefix="og-agent-"))
    outer.chmod(0o711)
    folder = outer / "state"
    identity.prepare_folder(folder)
    identity.save(folder, identity.Identity(server.url, 7, 3, None, TOKEN, X25519PrivateKey.generate()))
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, name, name)
    runs = Unprivileged(folder, user=name)
    yield runs
    if runs.process is not None and runs.process.poll() is None:
        for _ in range(2):
            runs.process.send_signal(signal.SIGTERM)
        await runs.exit_code(30)
    subprocess.run(["userdel", "--force", "--remove", name], capture_output=True, check=True)
    shutil.rmtree(outer)


Give = Callable[..., Job]


@pytest.fixture
def give(server: FakeServer) -> Give:
    """Queue a job that runs by a credential: `give(agent, credential, **payload)`."""

    def add(runs: Runs, credential: Credential, values: dict[str, str] | None = None, **payload: Any) -> Job:
        number = len(server.jobs) + 1
        public = identity.load(runs.folder).private_key.public_key().public_bytes_raw()
        about = {"host_id": 3, "agent_id": 7, "job_id": number, "attempt": 1}
        sealed = seal_to_agent(values or {}, public, credential=credential, **about)
        job = server.add(number, sealed=sealed, **payload, **({"secrets": list(values)} if values else {}))
        job.identity = credential.identity
        return job

    return add


def password_of(user: str, password: str, **more: Any) -> Credential:
    return Credential(identity="deployer", type="password", username=user, secret=password, **more)
