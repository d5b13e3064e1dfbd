"""Becomes another user by that user's password: su, on a terminal of its own, for an agent that is not root.

What comes out at the other side of su is `agent.programs.as_user`, and only to it are the job and its
descriptors handed: so nothing of the job can run as anybody else. Standard library only; used by the
supervisor, which has no threads and no event loop.
"""

import json
import os
import select
import shlex
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from agent import terminal
from agent.terminal import Terminal

PATIENCE_SECONDS = 20.0
"""For su to let the agent in: it asks modules that may ask a directory."""
_MOST_SAID = 4096


class NotLetIn(Exception):
    """su did not make the agent that user; the message is a sentence for the job's reason."""


class Door:
    """su, between us and the program that it starts as the other user."""

    def __init__(self, su: str, user: str, program: Sequence[str]) -> None:
        """Start su; `program` gets the number of its end of the socket behind its arguments."""
        self._user = user
        self._socket, theirs = socket.socketpair()
        self._said, said = os.pipe()
        self._terminal = Terminal()
        command = "exec " + shlex.join([*program, str(theirs.fileno())])
        try:
            self._su = self._terminal.start(
                [su, "-s", "/bin/sh", "-c", command, "--", user],
                stdout=said,
                stderr=said,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                pass_fds=[theirs.fileno()],
            )
        finally:
            os.close(said)
            theirs.close()

    def enter(self, password: str) -> None:
        """Type the password and wait until the program is there. NotLetIn says what su said instead."""
        if not terminal.fits(password):
            self._refuse("its password can't be typed: it is too long, or has a line break", password)
        until = time.monotonic() + PATIENCE_SECONDS
        words, typed = b"", False
        while time.monotonic() < until:
            self._terminal.read()
            ready, _, _ = select.select([self._socket.fileno(), self._said], [], [], 0.02)
            if self._socket.fileno() in ready and self._socket.recv(1):
                return
            if self._said in ready and (more := os.read(self._said, 1024)):
                words = (words + more)[-_MOST_SAID:]
                continue
            if self._su.poll() is not None:
                said = _said(words) or f"su ended with code {self._su.returncode}"
                self._refuse(said, password)
            if self._terminal.asks() and not typed:
                self._terminal.type(password)
                typed = True
            elif self._terminal.asks() and len(_prompts(words)) > 1:  # for a new password, perhaps
                self._refuse(_said(words) or f"it asks for more: {_prompts(words)[-1]}", password)
        said, waited = _said(words), f"it did not within {PATIENCE_SECONDS:.0f} seconds"
        self._refuse(f"{waited}: {said}" if said else waited, password)

    def hand_over(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """Give the program its work."""
        socket.send_fds(self._socket, [b"G"], list(descriptors))
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        self._socket.close()

    def wait(self) -> None:
        """Until su has ended: its terminal stays as long, or it would be hung up."""
        self._su.wait()

    def _refuse(self, why: str, password: str) -> None:
        # It is ours to end as long as it has let nobody in.
        self._su.kill()
        self._su.wait()
        self._socket.close()
        self._terminal.close()
        os.close(self._said)
        why = why.replace(password, "***") if password else why
        raise NotLetIn(f"su did not let the agent become {self._user}: {why.rstrip('.')}.")


def _said(words: bytes) -> str:
    """What su said, without its name and its prompts."""
    lines = [line.removeprefix("su: ").rstrip(".") for line in _lines(words) if not line.endswith(":")]
    return "; ".join(lines)[:300]


def _prompts(words: bytes) -> list[str]:
    return [line for line in _lines(words) if line.endswith(":")]


def _lines(words: bytes) -> list[str]:
    lines = words.decode("utf-8", "replace").splitlines()
    return ["".join(c for c in line if c.isprintable()).strip() for line in lines if line.strip()]
