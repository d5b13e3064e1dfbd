"""Reads a secret that Opsgate itself needs from where a reference says it stands.

Whoever may manage vaults writes references, and Opsgate follows them with its own rights: so what it
keeps for itself is refused, and a file must hold one word, as tokens are, and no other kind of text.
No message repeats anything of what was read.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from definitions.errors import Unavailable
from definitions.secret_place import place_of
from store.settings import FileSettings

_MOST = 64 * 1024


class _Kept(FileSettings):
    """The files that Opsgate keeps for itself."""

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
        if any(real == kept or kept in real.parents for kept in _kept_back()):
            raise Unavailable(f"{path} is Opsgate's own: put the vault's secret into a file of its own.")
        if not real.is_file():
            raise Unavailable(f"{path} is no file.")
        with real.open("rb") as file:
            return file.read(_MOST).decode("ascii", errors="replace")
    except OSError as error:
        raise Unavailable(f"{path} can't be read: {error.strerror}.") from None


def _kept_back() -> Iterator[Path]:
    """What no reference may lead to, nor into."""
    kept = _Kept()
    if kept.data_dir is not None:
        yield (kept.data_dir / "secrets").resolve()
    files = (kept.sealing_key_file, kept.audit_key_file, kept.prefect_auth_file, kept.web_tls_key)
    yield from (Path(each).resolve() for each in files if each)
    yield Path("/proc")
