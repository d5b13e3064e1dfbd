"""Whose rights a job has: the agent's, root's, or those of another user of the host (POSIX).

Root: the agent is root, or its user may use sudo without a password. Another user: only root can
become one. What is missing is said before anything is started.
"""

import asyncio
import os
import pwd
from dataclasses import dataclass

from agent import environment
from agent.program import CannotRun, find, has

_SUDO_CHECK_SECONDS = 5.0


@dataclass(frozen=True)
class User:
    """A user of this host, as the processes of a job become one."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    """Every group, the first as well."""
    home: str


def user(name: str) -> User:
    """The user to run as. CannotRun: there is none of this name, or this agent can't become it."""
    found = account(name)
    if not may_become(found):
        raise CannotRun(
            f"The job runs as {name}, and the agent does not run as root: it can't become another user."
        )
    return found


def account(name: str) -> User:
    """A user of this host. CannotRun: there is none of this name."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise CannotRun(f"The job runs as {name}, and this host has no such user.") from None
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


def may_become(user: User) -> bool:
    """Whether this agent can make a process that user's without being asked for a password."""
    return os.geteuid() in (0, user.uid)


async def sudo(type_: str) -> str | None:
    """The path of sudo for a job that needs root; None when the agent is root already.

    CannotRun: this user may not become root without a password.
    """
    if os.geteuid() == 0:
        return None
    needs = f"The {type_} job requires elevation, the agent does not run as root"
    if not has("sudo"):
        raise CannotRun(f"{needs}, and sudo is not on this host.")
    path = find("sudo")
    check = await asyncio.create_subprocess_exec(
        path,
        "-n",
        "true",
        env=environment.build({}, as_root=False),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        code = await asyncio.wait_for(check.wait(), _SUDO_CHECK_SECONDS)
    except TimeoutError:
        check.kill()
        await check.wait()
        code = 1
    if code != 0:
        raise CannotRun(f"{needs}, and its user may not use sudo without a password.")
    return path
