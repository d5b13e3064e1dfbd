"""A terminal of our own for a program that asks its user for a secret, and types it when it is asked.

A secret typed here stands in no argument, no environment and no file. It is typed once the program has
switched the echo off, for what was typed before that is thrown away, or shown. Standard library only.
"""

import contextlib
import fcntl
import os
import select
import subprocess
import termios
from collections.abc import Sequence
from typing import Any

LONGEST_LINE = 4000


class Terminal:
    """A terminal and the one program on it."""

    def __init__(self) -> None:
        self._ours, self._theirs = os.openpty()  # theirs stays open: else it ends when nobody has it
        flags = termios.tcgetattr(self._theirs)
        # Whatever is typed is text: a password may hold what is a signal or an erasure otherwise.
        flags[0] &= ~(termios.ICRNL | termios.INLCR | termios.IXON | termios.ISTRIP)
        flags[3] &= ~(termios.ISIG | termios.IEXTEN)
        for key in (termios.VEOF, termios.VEOL, termios.VERASE, termios.VKILL):
            flags[6][key] = b"\0"
        termios.tcsetattr(self._theirs, termios.TCSANOW, flags)

    def start(self, argv: Sequence[str], **more: Any) -> "subprocess.Popen[bytes]":
        """Start the program, in a session that this terminal belongs to; `stdin` is it unless given."""
        theirs = self._theirs
        return subprocess.Popen(
            argv,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
            **{"stdin": theirs, **more},
        )

    def asks(self) -> bool:
        """Whether it waits for something that is not to be seen."""
        try:
            return not termios.tcgetattr(self._ours)[3] & termios.ECHO
        except termios.error:
            return False  # the program has gone

    def type(self, line: str) -> None:
        """Type a line; `fits` says whether it is one."""
        with contextlib.suppress(OSError):  # the program has gone
            os.write(self._ours, line.encode() + b"\n")

    def read(self) -> bytes:
        """What it has shown since."""
        ready, _, _ = select.select([self._ours], [], [], 0)
        try:
            return os.read(self._ours, 4096) if ready else b""
        except OSError:  # the program has gone
            return b""

    def close(self) -> None:
        """Hang up."""
        os.close(self._ours)
        os.close(self._theirs)


def fits(line: str) -> bool:
    """Whether this can be typed."""
    return len(line.encode()) <= LONGEST_LINE and not any(mark in line for mark in "\n\r\0")
