"""Which operating system this is."""

import sys
from typing import Literal

HostOs = Literal["linux", "darwin", "windows"]


def host_os() -> HostOs:
    """The operating system in the protocol's words."""
    return "windows" if sys.platform == "win32" else "darwin" if sys.platform == "darwin" else "linux"
