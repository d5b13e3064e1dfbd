"""Runs a job as the user that su has made of it: takes the job from the agent, and watches over it.

The agent's supervisor does the same for the jobs of its own user. It could not kill the processes of
another, so their supervisor is that user's as well. Standard library only, run as a file by itself.
"""

import json
import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent.supervisor import Supervisor

_CONTROL_AND_STREAMS = 3


def main() -> None:
    """Say that it is there, take the job, and stay until it has ended."""
    with socket.socket(fileno=int(sys.argv[1])) as door:
        door.sendall(b"U")
        letter, descriptors, _, _ = socket.recv_fds(door, 1, _CONTROL_AND_STREAMS)
        if not letter or len(descriptors) != _CONTROL_AND_STREAMS:
            return  # the agent has gone, or does not want it any more
        with door.makefile("rb") as lines:
            request = json.loads(lines.readline())
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):  # the terminal is su's
        os.dup2(null, number)
    control, stdout, stderr = descriptors
    Supervisor(socket.socket(fileno=control)).watch_over(request, stdout, stderr)


if __name__ == "__main__":
    main()
