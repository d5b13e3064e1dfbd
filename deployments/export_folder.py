"""A folder of definition files as `opsgate export` keeps it: what belongs to it, and writing it.

The folder remembers in `.opsgate-export` what was written with which content. Only such a file, as
long as nobody has changed it, is replaced, or removed when it is no longer part of the export; any
other is foreign and stays, unless told otherwise. Asks no server.
"""

import hashlib
import json
import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from definitions.errors import Conflict, Invalid

MEMORY = ".opsgate-export"

_PLAIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9_-])?")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")
"""What Windows takes for a device, whatever follows the dot."""
_OURS = re.compile(r"[a-z-]+/[a-z0-9][a-z0-9._~-]*")
"""Where an export writes: a name in such a file can't lead anywhere else."""


@dataclass(frozen=True)
class Written:
    """What became of the files, as paths inside the folder."""

    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def file_stem(name: str) -> str:
    """A file name, without its extension, for any definition's name: the same every time, never the same for
    two names, not even where file names ignore case."""
    if _PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    readable = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "unnamed"
    return f"{readable}~{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def write_folder(
    folder: Path, files: Mapping[str, bytes], *, force: bool = False, keep: Iterable[str] = ()
) -> Written:
    """Make the folder hold these files. `Conflict` names foreign ones in the way; then nothing is written.
    What an earlier export wrote below one of `keep` stays, and is remembered."""
    folder.mkdir(parents=True, exist_ok=True)
    remembered = _memory(folder, force=force)
    kept = {place: digest for place, digest in remembered.items() if place.startswith(tuple(keep))}
    before = {place: digest for place, digest in remembered.items() if place not in kept}
    _refuse_links(folder, [*files, *before])
    done = Written()
    foreign: list[str] = []
    for place, content in files.items():
        found = _content(folder / place)
        if found == content:
            done.unchanged.append(place)
        elif found is None or before.get(place) == _digest(found) or force:
            done.written.append(place)
        else:
            foreign.append(f"{place} was not written by an export, or was changed since")
    for place, digest in before.items():
        found = None if place in files else _content(folder / place)
        if found is not None and (_digest(found) == digest or force):
            done.removed.append(place)
        elif found is not None:
            foreign.append(f"{place} is no longer on the server, and was changed here")
    if foreign:
        raise Conflict(
            f"{folder} holds files that would be lost: {'; '.join(sorted(foreign))}. "
            "Nothing was written; with --force they are replaced or removed."
        )
    for place in done.written:
        _replace(folder / place, files[place])
    for place in done.removed:
        (folder / place).unlink()
    memory = dict(sorted({**kept, **{place: _digest(each) for place, each in files.items()}}.items()))
    _replace(folder / MEMORY, (json.dumps(memory, indent=2) + "\n").encode())
    return done


def _memory(folder: Path, *, force: bool) -> dict[str, str]:
    """What the last export wrote. The file may come with a repository: it can name no others than ours."""
    content = _content(folder / MEMORY)
    if content is None:
        return {}
    try:
        found = json.loads(content)
        if isinstance(found, dict) and all(isinstance(digest, str) for digest in found.values()):
            return {place: digest for place, digest in found.items() if _OURS.fullmatch(place)}
    except ValueError:
        pass
    if force:
        return {}
    raise Invalid(f"{folder / MEMORY} can't be read: delete it, and export with --force.")


def _refuse_links(folder: Path, places: Iterable[str]) -> None:
    """A link would have us write elsewhere."""
    for parent in sorted({(folder / place).parent for place in places}):
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            raise Conflict(f"{parent} is not a folder of this one; nothing was written.")


def _content(path: Path) -> bytes | None:
    """What stands there; None: nothing. A link or folder is as foreign as can be."""
    if path.is_symlink() or path.is_dir():
        raise Conflict(f"{path} is a link or a folder, not a file of an export; nothing was written.")
    return path.read_bytes() if path.exists() else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """At once, so that a file is never half of one."""
    path.parent.mkdir(exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with beside.open("xb") as file:  # never through a link that lies there already
        file.write(content)
    beside.replace(path)
