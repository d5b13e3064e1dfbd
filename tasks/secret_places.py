"""Reads a secret that Opsgate itself needs from where a reference says it stands.

Whoever may manage vaults writes references, and Opsgate follows them with its own rights: so what it
keeps for itself is refused, and a file must hold one word, as tokens are, and no other kind of text.
No message repeats anything of what was read.
"""

import os
from pathlib import Path

from definitions.errors import Unavailable
from definitions.secret_place import place_of
from store.settings import FileSettings

_MOST = 64 * 1024
_OF_OUR_VAULT = Path("vault", "secret-id")
"""In the data folder, what references may lead to: the stack signs in to its own vault by one
(`deployments.stack.openbao`)."""


class _Kept(FileSettings):
    """What Opsgate keeps for itself: the data folder of an embedded stack, and single files."""

    data_dir: Path | None = None
    sealing_key_file: Path | None = None
    audit_key_file: Path | None = None
    prefect_auth_file: Path | None = None
    web_tls_key: str = ""


def read_place(reference: str) -> str:
    """The secret; `Unavailable` says what is wrong with the place."""
    place = place_of(reference)
    if place is None:
        raise Unavailable("The secret of the vault is not named as env:NAME or file:/PATH.")
    kind, name = place
    found = os.environ.get(name, "") if kind == "env" else _file(Path(name))
    word = found.strip()
    if not word:
        raise Unavailable(f"There is no secret in {reference}.")
    if not word.isascii() or not word.isprintable() or " " in word:
        raise Unavailable(f"What is in {reference} is no token: it must be one word.")
    return word


def _file(path: Path) -> str:
    try:
        real = path.resolve(strict=True)
        if _is_kept_back(real):
            raise Unavailable(f"{path} is Opsgate's own: put the vault's secret into a file of its own.")
        if not real.is_file():
            raise Unavailable(f"{path} is no file.")
        with real.open("rb") as file:
            return file.read(_MOST).decode("ascii", errors="replace")
    except OSError as error:
        raise Unavailable(f"{path} can't be read: {error.strerror}.") from None


def _is_kept_back(real: Path) -> bool:
    """Whether no reference may lead there; the path has no link in it any more."""
    kept = _Kept()
    places = [kept.sealing_key_file, kept.audit_key_file, kept.prefect_auth_file, kept.web_tls_key, "/proc"]
    if kept.data_dir is not None:
        own = kept.data_dir.resolve()
        if real == own / _OF_OUR_VAULT:
            return False
        places.append(own)
    closed = {Path(place).resolve() for place in places if place}
    return not closed.isdisjoint((real, *real.parents))
