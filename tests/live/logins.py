"""Logging in for real, to see which password is in force: an account by su on a terminal, a database role."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
"""Root is asked for no password."""


@contextmanager
def account(password: str) -> Iterator[str]:
    """A local user of ours alone with this password; gone with the block."""
    name = f"og-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--no-create-home", name], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}".encode(), check=True)
        yield name
    finally:
        subprocess.run(["userdel", "--force", name], capture_output=True, check=True)


def account_lets_in(user: str, password: str) -> bool:
    """Whether `su` lets somebody without rights become the user, who types this on a terminal."""
    ours, theirs = os.openpty()
    command = ["setsid", "--ctty", "--wait", *NOBODY, "su", user, "-c", "id -un"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd="/")
    os.close(theirs)
    seen, typed = b"", False
    try:
        while chunk := _read(ours):
            seen += chunk
            if not typed and b"assword:" in seen:
                os.write(ours, password.encode() + b"\n")
                typed = True
        code = process.wait(30)
    finally:
        process.kill()
        os.close(ours)
    assert typed, f"it asked for no password: {seen!r}"
    return code == 0 and user.encode() in seen.split()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1024)
    except OSError:  # the last process that had it is gone
        return b""


async def role_lets_in(dsn: str, role: str, password: str) -> bool:
    """Whether the role logs in to the database with this password."""
    try:
        connection = await asyncpg.connect(dsn, password=password)
    except asyncpg.InvalidPasswordError:
        return False
    try:
        who: str = await connection.fetchval("SELECT session_user::text")
    finally:
        await connection.close()
    return who == role
