"""A small process, forked before anything else, that forks a supervisor for each attempt.

A fork takes a millisecond where a new interpreter takes fifty, and forking from the agent itself,
with its threads and event loop, is not safe. Standard library only.
"""

import os
import signal
import socket
from typing import NoReturn

from agent import supervisor

FDS_PER_LAUNCH = 3
"""Control socket, standard output, standard error."""


def start() -> socket.socket:
    """Fork the launcher and return the agent's end of its socket. Call it before any thread exists."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _serve(theirs)
    theirs.close()
    return ours


def ask(launcher: socket.socket, control: int, stdout: int, stderr: int) -> None:
    """Have a supervisor forked that owns these descriptors. OSError: the launcher has gone."""
    socket.send_fds(launcher, [b"L"], [control, stdout, stderr])


def _serve(requests: socket.socket) -> NoReturn:
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: None)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors are not waited for
        while True:
            letter, fds, _, _ = socket.recv_fds(requests, 1, FDS_PER_LAUNCH)
            if not letter:
                break
            _launch(requests, fds)
    finally:
        os._exit(0)


def _launch(requests: socket.socket, fds: list[int]) -> None:
    try:
        if len(fds) == FDS_PER_LAUNCH and os.fork() == 0:
            requests.close()
            supervisor.run_to_end(socket.socket(fileno=fds[0]), fds[1], fds[2])
    except OSError:
        pass  # no process to be had: the closed descriptors tell the agent
    finally:
        for fd in fds:
            os.close(fd)
