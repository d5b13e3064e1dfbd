"""Agents that are not root: an ordinary user of this machine, made for the test, runs them."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from deployments.stack.processes import Child

_ROOT = Path(__file__).parents[2]
_PATH = os.pathsep.join([str(_ROOT), *(each for each in sys.path if "site-packages" in each)])
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": _PATH, "PYTHONDONTWRITEBYTECODE": "1"}
"""What such an agent needs to be run from where the tests are."""


def python_for_all() -> str:
    """An interpreter like this one that other users may run too."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with_nothing: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": [], "cwd": "/"}
        try:
            subprocess.run([python, "-c", ""], check=True, **with_nothing)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("needs an interpreter that other users may run")


@dataclass(frozen=True)
class OfUser:
    """A user without rights, and a folder that it can reach."""

    name: str
    folder: Path

    def runs(self, child: Child, state: Path) -> Child:
        """The agent that has enrolled as root into `state`, run by the user instead."""
        own = self.folder / "state"
        shutil.move(state, own)
        for path in (own, *own.rglob("*")):
            shutil.chown(path, self.name, self.name)
        words = [str(own) if word == str(state) else word for word in child.command[1:]]
        become = ["setpriv", f"--reuid={self.name}", f"--regid={self.name}", "--init-groups"]
        command = [*become, "--pdeathsig=TERM", python_for_all(), *words]
        return replace(child, command=command, environment=ENVIRONMENT, folder=Path("/"))


@contextmanager
def of_user() -> Iterator[OfUser]:
    """One that is gone with the block."""
    name, folder = f"og-{secrets.token_hex(4)}", Path(tempfile.mkdtemp(prefix="og-agent-"))
    folder.chmod(0o711)
    subprocess.run(["useradd", "--no-create-home", name], check=True)
    try:
        yield OfUser(name, folder)
    finally:
        subprocess.run(["userdel", "--force", name], capture_output=True, check=True)
        shutil.rmtree(folder)
