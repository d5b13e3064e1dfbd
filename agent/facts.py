"""What the host says about itself when it joins and when its agent starts.

Nothing secret, nothing that a person typed.
"""

import os
import platform
import socket
from pathlib import Path

from agent import interpreters


def hostname() -> str:
    """The name this host goes by unless another is given."""
    return socket.gethostname() or "localhost"


def architecture() -> str:
    """The processor, as the host names it."""
    return platform.machine()


def collect() -> dict[str, str]:
    """A few plain facts, all text."""
    facts = {
        "kernel": platform.release(),
        "distribution": _distribution(),
        "cpus": str(os.cpu_count() or 1),
        "memory_mib": str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)),
        "interpreters": " ".join(interpreters.available()),
        "root": "true" if os.geteuid() == 0 else "false",
    }
    return {name: value for name, value in facts.items() if value}


def _distribution() -> str:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    named = dict(line.split("=", 1) for line in lines if "=" in line)
    return named.get("PRETTY_NAME", "").strip('"')
