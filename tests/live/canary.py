"""Looks for secrets wherever a stack may have left them, in every form in which one may stand there.

What is searched: bytes, files, whole folders with the data files and the log of PostgreSQL in them, rows,
and the command lines and environments of every process of this machine while something runs (`Sampler`).
Written without the agent's redactor, which looks for the same: a mistake of one is not the other's.
"""

import asyncio
import base64
import json
import mmap
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

import asyncpg

_SHORTEST = 6
"""Characters of a form: anything has the shorter ones in it."""


def forms(secret: str) -> dict[str, bytes]:
    """How a secret may stand somewhere, by the name of the form."""
    raw = secret.encode()
    once, plain = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]
    made = {
        "raw": raw,
        "json": once.encode(),
        "json, not ascii": plain.encode(),
        "json in json": json.dumps(once)[1:-1].encode(),
        "url": quote(secret, safe="").encode(),
        "url of a path": quote(secret).encode(),
        "url of a form": quote_plus(secret).encode(),
        "hex": raw.hex().encode(),
        "hex, capitals": raw.hex().upper().encode(),
        "utf-16 le": secret.encode("utf-16-le"),
        "utf-16 be": secret.encode("utf-16-be"),
    }
    for before in range(3):
        # What stands before it shifts it by 0 to 2 bytes; looked for is what that leaves as it is.
        whole = base64.b64encode(bytes(before) + raw + bytes(-(before + len(raw)) % 3))
        first = (before * 8 + 5) // 6
        inside = whole[first : (before + len(raw)) * 8 // 6]
        made[f"base64 at {before}"] = inside
        made[f"base64 of a url at {before}"] = inside.replace(b"+", b"-").replace(b"/", b"_")
    distinct: dict[bytes, str] = {}
    for name, form in made.items():
        assert len(form) >= _SHORTEST, f"{name} is too short to be looked for"
        distinct.setdefault(form, name)
    return {name: form for form, name in distinct.items()}


Hits = dict[str, dict[str, set[str]]]
"""By the secret's name: where it stands, and in which forms."""


class Canary:
    """Some secrets by name, and where they were found so far."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.forms = {(name, form): each for name in secrets for form, each in forms(secrets[name]).items()}
        self.found: Hits = {name: defaultdict(set) for name in secrets}
        self.searched = 0
        """Bytes."""

    def look(self, place: str, content: bytes | mmap.mmap) -> None:
        """Search bytes."""
        self.searched += len(content)
        for (secret, form), each in self.forms.items():
            if content.find(each) >= 0:
                self.found[secret][place].add(form)

    def look_through(self, folder: Path) -> int:
        """Search every file of a folder, however deep; how many there were."""
        count = 0
        for path in sorted(folder.rglob("*")):
            with suppress(FileNotFoundError):  # it went while we looked
                if path.is_file() and not path.is_symlink() and path.stat().st_size:
                    self._look_at(path, str(path.relative_to(folder)))
                    count += 1
        return count

    def _look_at(self, path: Path, place: str) -> None:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            self.look(place, content)

    def look_at_rows(self, place: str, dsn: str) -> int:
        """Search every row of a database, as it reads; how many tables there were."""
        tables = asyncio.run(_tables(dsn))
        for table, rows in tables.items():
            self.look(f"{place}.{table}", rows)
        return len(tables)


async def _tables(dsn: str) -> dict[str, bytes]:
    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = {}
        for (name,) in names:
            rows = await connection.fetch(f'SELECT to_jsonb(t)::text FROM "{name}" t')
            found[name] = "\n".join(row[0] for row in rows).encode()
        return found
    finally:
        await connection.close()


def make_readable(dsn: str) -> None:
    """Have PostgreSQL compress nothing from now on that it writes into this database's files: what is
    compressed, no search finds."""
    asyncio.run(_execute(dsn, _NOT_COMPRESSED))


def write_out(dsn: str) -> None:
    """Have PostgreSQL write everything into its files."""
    asyncio.run(_execute(dsn, "CHECKPOINT"))


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


_NOT_COMPRESSED = """DO $$ DECLARE c record; BEGIN
    FOR c IN SELECT a.attrelid::regclass AS t, a.attname FROM pg_attribute a
             JOIN pg_class r ON r.oid = a.attrelid JOIN pg_namespace n ON n.oid = r.relnamespace
             WHERE n.nspname = 'public' AND r.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
               AND a.attstorage IN ('x', 'm') LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE EXTERNAL', c.t, c.attname);
    END LOOP;
END $$"""


class Sampler:
    """Keeps what every process of this machine shows of itself, again and again for the time of a block.
    It is searched afterwards: a secret that is made up on the way is not known before."""

    def __init__(self) -> None:
        self.rounds = 0
        self._seen: dict[str, set[bytes]] = {"cmdline": set(), "environ": set()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def look(self, canary: Canary) -> None:
        """Search all of it."""
        for what, contents in self._seen.items():
            canary.look(f"/proc/*/{what}", b"\xff".join(contents))

    def _run(self) -> None:
        while not self._over.wait(0.01):
            for what, content in _shown():
                self._seen[what].add(content)
            self.rounds += 1


def _shown() -> Iterator[tuple[str, bytes]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            for what in ("cmdline", "environ"):
                with suppress(OSError), open(f"/proc/{name}/{what}", "rb") as file:
                    yield what, file.read()


def where(hits: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """As it reads in a failure."""
    return {place: sorted(found) for place, found in sorted(hits.items())}
