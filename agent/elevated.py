"""Runs as root, started by sudo: reads the job's environment from standard input, becomes the job.

sudo drops the environment, and values must not stand in argv where every user can read them. Nor
does a descriptor get through sudo, so secret values come on the second line, and are held in memory
files from here on as the supervisor holds them for other jobs.

Standard library only; it imports nothing of the agent, since it is run as a file by itself.
"""

import fcntl
import json
import os
import sys
from collections.abc import Collection, Mapping

_FROM_FD = 100
"""Scripts use low descriptors for themselves, and shells those from 10 on."""


def main() -> None:
    """Replace this process by the command in argv, with the environment read."""
    environment, _, secrets = sys.stdin.buffer.read().partition(b"\n")
    given = json.loads(secrets or b"{}")
    places = hold(given.get("values", {}), given.get("private", ()))
    for fd in places.values():
        os.set_inheritable(fd, True)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    variables = {**json.loads(environment), **variables_of(places)}
    os.execve(sys.argv[1], sys.argv[1:], variables)  # noqa: S606 - the point of it


def hold(
    secrets: Mapping[str, str], private: Collection[str] = (), owner: int | None = None
) -> dict[str, int]:
    """A descriptor for each value, of a file in memory that can be read and not changed. The private ones
    are for `owner` alone (None: this user), as programs want it that look at the rights of a file."""
    places = {name: memory_file(value.encode("utf-8")) for name, value in secrets.items()}
    for name in private:
        if owner is not None:
            os.fchown(places[name], owner, -1)
        os.fchmod(places[name], 0o400)
    return places


def variables_of(places: Mapping[str, int]) -> dict[str, str]:
    """Where a process that inherits the descriptors reads each value.

    `/proc/self/fd` opens the file anew each time, from its start, where a shell's `/dev/fd` may share
    the position.
    """
    return {name: f"/proc/self/fd/{fd}" for name, fd in places.items()}


def memory_file(content: bytes) -> int:
    """A descriptor of a file in memory that holds this for good. Who has not inherited it reaches it
    only as root or as one who may look into the process; so it may be readable to whoever the job is."""
    made = os.memfd_create("opsgate", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(made), "wb") as file:
            file.write(content)
        os.lseek(made, 0, os.SEEK_SET)
        os.fchmod(made, 0o444)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(made, fcntl.F_ADD_SEALS, seals)
        return fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _FROM_FD)
    finally:
        os.close(made)


if __name__ == "__main__":
    main()
