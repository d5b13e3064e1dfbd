"""The environment of a job's processes: built from nothing, never inherited from the agent.

A fixed PATH, HOME, LANG (with another user USER and LOGNAME), and the payload's own values under the
names that are ours. So neither
the agent's own settings reach a job, nor can a job's values reach PATH, LD_PRELOAD or BASH_ENV.
"""

import os
import pwd
from collections.abc import Mapping

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class BadValue(Exception):
    """A value that no environment can hold; the message names it and never shows it."""


def build(values: Mapping[str, str], *, as_root: bool, user: tuple[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a job that runs as the agent's user, as root, or as (name, home)."""
    for name, value in values.items():
        if "\0" in value:
            raise BadValue(f"The value of {name} holds a NUL character, which an environment can't.")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise BadValue(f"The value of {name} is not valid Unicode text.") from None
    if user is not None:
        name, home = user
        return {"PATH": PATH, "HOME": home, "USER": name, "LOGNAME": name, "LANG": "C.UTF-8", **values}
    return {"PATH": PATH, "HOME": "/root" if as_root else _home(), "LANG": "C.UTF-8", **values}


def _home() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return "/"
