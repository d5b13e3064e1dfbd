"""Runs as root, started by sudo: reads the job's environment from standard input, becomes the job.

sudo drops the environment, and values must not stand in argv where every user can read them.
Standard library only; it imports nothing of the agent, since it is run as a file by itself.
"""

import json
import os
import sys


def main() -> None:
    """Replace this process by the command in argv, with the environment read."""
    environment = json.loads(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.execve(sys.argv[1], sys.argv[1:], environment)  # noqa: S606 - the point of it


if __name__ == "__main__":
    main()
