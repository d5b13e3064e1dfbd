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

import structlog

log = structlog.get_logger("opsgate.engine")

SECONDS = 60
"""What the whole batch may take; then the courier is killed. Less than `store.notices.LEASE`."""

LETTER_SECONDS = 15
"""What one letter may take."""

CUT_OFF = "The service had not answered when the time of all notices was over."
BROKEN = "The program that sends notices broke off (exit code {}): see whether it starts on the worker."

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
    letters: Sequence[Letter],
    *,
    allowed: Sequence[str],
    seconds: float = SECONDS,
    each: float = LETTER_SECONDS,
    courier: Path = _COURIER,
) -> dict[int, str | None]:
    """Try each once; by its id why it failed, or None when the service has taken it. Who is not in it was not
    begun. `allowed`: networks notices may go to though they are not public.

    Who is not heard of in time counts as failed, though the service may have taken it.
    """
    task = json.dumps({"allowed": list(allowed), "seconds": each, "notices": list(letters)})
    process = _started(courier)
    try:
        said, code = await asyncio.to_thread(_converse, process, task, seconds)
    finally:
        process.kill()  # also when the worker is asked to end: it does not wait for a service that hangs
    if code:
        log.warning("the program that sends notices broke off", exit_code=code)
    ids = {letter["id"] for letter in letters}
    found: dict[int, str | None] = {}
    for answer in map(_read, said.splitlines()):
        if answer.get("id") in ids:
            found[answer["id"]] = answer.get("error", BROKEN.format(code) if code else CUT_OFF)
    return found


def _started(courier: Path) -> subprocess.Popen[str]:
    environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    # -P: the modules beside it are none of its own.
    return subprocess.Popen(
        [sys.executable, "-P", str(courier)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )


def _converse(courier: subprocess.Popen[str], task: str, seconds: float) -> tuple[str, int]:
    """What the courier has said until it ended, or until its time was over; its exit code, 0 when killed."""
    try:
        return courier.communicate(task, timeout=seconds)[0], courier.returncode
    except subprocess.TimeoutExpired:
        courier.kill()
        return courier.communicate()[0], 0


def _read(line: str) -> dict[str, Any]:
    """A line that the courier was killed in the middle of says nothing."""
    try:
        answer = json.loads(line)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and ("error" in answer or "begun" in answer) else {}
