"""Handing notices to the courier: the process that speaks with mail servers and webhooks.

The addresses go to it by standard input, never by argument or environment.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

SECONDS = 60
"""What the whole batch may take; then the courier is killed. Less than `store.notices.LEASE`."""

TOO_SLOW = f"The service did not answer within {SECONDS} seconds."

_COURIER = Path(__file__).with_name("courier.py")
_HANDED_ON = (
    "PATH", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip


class Letter(TypedDict):
    """One notice for one address."""

    id: int
    url: str
    title: str
    body: str


async def deliver(
    letters: Sequence[Letter], *, local: bool, seconds: float = SECONDS
) -> dict[int, str | None]:
    """Try each once; by its id why it failed, or None when the service has taken it.

    `local`: addresses of this machine are allowed. Who is not heard of in time counts as failed, though
    the service may have taken it.
    """
    task = json.dumps({"local": local, "notices": list(letters)})
    courier = _started()
    try:
        said = await asyncio.to_thread(_converse, courier, task, seconds)
    finally:
        courier.kill()  # also when the worker is asked to end: it does not wait for a service that hangs
    found: dict[int, str | None] = {letter["id"]: TOO_SLOW for letter in letters}
    for line in said.splitlines():
        answer = _read(line)
        if answer.get("id") in found:
            found[answer["id"]] = answer["error"]
    return found


def _started() -> subprocess.Popen[str]:
    environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    # -P: the modules beside it are none of its own.
    return subprocess.Popen(
        [sys.executable, "-P", str(_COURIER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )


def _converse(courier: subprocess.Popen[str], task: str, seconds: float) -> str:
    """What the courier has said until it ended, or until its time was over."""
    try:
        return courier.communicate(task, timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        courier.kill()
        return courier.communicate()[0]


def _read(line: str) -> dict[str, Any]:
    """A line that the courier was killed in the middle of says nothing."""
    try:
        answer = json.loads(line)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and "error" in answer else {}
