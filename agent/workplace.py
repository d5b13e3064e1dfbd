"""The folder an attempt works in: made for it alone, gone when it ends.

It lies in the agent's own folder, which no other user can enter. A job that runs as another user
has a second one where that user can reach it; a link beside the first remembers it, so that one
left behind by a crash is found. The link is never inside: a job might make one of that name. In that
folder is room for a socket too, whose path in the agent's own could be too long.

Who is become by su makes a folder of its own (`made_by_itself`), which the agent could not clear.
"""

import os
import secrets
import shutil
import tempfile
from pathlib import Path

from agent.rights import User

_PREFIX = "opsgate-job-"
_LINK = ".elsewhere"


def reachable_by(user: User, folder: Path) -> Path:
    """A second folder for this attempt, where the user may go; it still belongs to the agent."""
    inner = _outer(folder) / "work"
    inner.mkdir(mode=0o700)
    return inner


def private_place(folder: Path, user: User | None) -> Path:
    """A folder for a socket of this attempt, which this user alone may enter."""
    place = _outer(folder) / "private"
    place.mkdir(mode=0o700)
    if user is not None:
        os.chown(place, user.uid, user.gid)
    return place


def made_by_itself() -> Path:
    """Where another user makes a folder of its own: nobody else can have guessed the name."""
    return Path(tempfile.gettempdir()) / f"{_PREFIX}{secrets.token_hex(16)}"


def _outer(folder: Path) -> Path:
    link = _link(folder)
    if not link.is_symlink():
        outer = Path(tempfile.mkdtemp(prefix=_PREFIX))
        link.symlink_to(outer)
        outer.chmod(0o711)
    return link.readlink()


def hand_over(folder: Path, user: User) -> None:
    """Give the folder and the files just written into it to the user."""
    for path in (*folder.iterdir(), folder):
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def clear(folder: Path) -> None:
    """Remove an attempt's folder, and the second one it may have."""
    link = _link(folder)
    if link.is_symlink():
        outer = link.readlink()
        if outer.name.startswith(_PREFIX):
            shutil.rmtree(outer, ignore_errors=True)
        link.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def clear_all(folder: Path) -> None:
    """Remove every folder of attempts, and what a crash left elsewhere."""
    for link in folder.glob(f"*{_LINK}"):
        clear(link.with_name(link.name.removesuffix(_LINK)))
    shutil.rmtree(folder, ignore_errors=True)


def _link(folder: Path) -> Path:
    return folder.with_name(folder.name + _LINK)
