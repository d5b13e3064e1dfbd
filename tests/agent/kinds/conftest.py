"""Run one job of a payload by the real agent; names on this host that are ours alone."""

import contextlib
import secrets
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Done:
    """How a job ended and what it printed."""

    outcome: str
    exit_code: int | None
    reason: str
    out: str
    err: str


Run = Callable[..., Awaitable[Done]]


@pytest.fixture
def run(server, agent, ended) -> Run:
    """Have the real agent execute a payload, and wait for its end."""

    async def dispatch(type_: str, **payload: Any) -> Done:
        if agent.process is None:
            agent.start()
        job = server.add(len(server.jobs) + 1, type=type_, **payload)
        report = await ended(job, 60)
        out, err = (job.output(name).decode() for name in ("stdout", "stderr"))
        return Done(report["outcome"], report["exit_code"], report["reason"], out, err)

    return dispatch


@pytest.fixture
def name() -> str:
    """A name that nothing on this host has."""
    return f"og-{secrets.token_hex(4)}"


@pytest.fixture
def account(name: str) -> Iterator[str]:
    """A name for a user and a group, neither of which is left behind."""
    yield name
    for tool in ("userdel", "groupdel"):
        with contextlib.suppress(OSError):
            subprocess.run([tool, "-f", name], capture_output=True, check=False)
    subprocess.run(["rm", "-rf", f"/home/{name}"], check=True)


@pytest.fixture
def user(account: str) -> str:
    """A real user of this host with a home and a second group; gone after the test."""
    subprocess.run(["useradd", "--create-home", "--groups", "games", account], check=True)
    return account
