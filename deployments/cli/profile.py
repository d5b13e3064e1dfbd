"""Where the server is and who we are: environment, then the stack beside us, then `opsgate login`."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from deployments.cli.errors import WrongUse
from deployments.stack.data_folder import default_path, write_private

NAME = "cli.json"


@dataclass(frozen=True)
class Profile:
    """A server and a token for it."""

    url: str
    token: str
    ca: str | None = None
    """The file of certificates to trust instead of this machine's."""


def find() -> Profile:
    """The profile to use now, or `WrongUse` with what to do. `OPSGATE_PROFILE` may name the file."""
    url, token, ca = (os.environ.get(f"OPSGATE_{name}") or None for name in ("URL", "TOKEN", "CA"))
    if url and token:
        return Profile(url, token, ca)
    named = os.environ.get("OPSGATE_PROFILE")
    for path in (Path(named),) if named else (default_path() / NAME, login_path()):
        kept = read(path)
        if kept is not None:
            return Profile(url or kept.url, token or kept.token, ca or kept.ca)
    raise WrongUse(
        "No server is known. Start one here (`opsgate up`), sign in (`opsgate login URL`), "
        "or set OPSGATE_URL and OPSGATE_TOKEN."
    )


def read(path: Path) -> Profile | None:
    """The profile kept in a file, or None if there is none."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        ca = kept.get("ca")
        return Profile(str(kept["url"]), str(kept["token"]), None if ca is None else str(ca))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WrongUse(f"{path} is not a profile any more; delete it and sign in again.") from None


def keep(profile: Profile, path: Path) -> None:
    """Write the profile; only the owner can read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, json.dumps(asdict(profile)))


def login_path() -> Path:
    """Where `opsgate login` keeps its profile."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "opsgate" / NAME
