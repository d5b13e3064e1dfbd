"""A search of a whole stack for secrets, with controls planted in every place that is searched.

Searched are both databases with their data files and their log, every file of the stack and its agents, what
the API answered, and what processes showed of themselves meanwhile (`tests.live.canary`).
"""

import asyncio
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from deployments.stack.postgres import Postgres
from store.connection import Database
from tests.live.canary import Canary, Sampler, forms, make_readable, where, write_out
from tests.live.stack import LiveStack

HARD = "/+\"&'\\ünï c=d"
"""What every form writes otherwise."""
CONTROLS = ("control", "deleted control")
_DATABASES = ("opsgate", "prefect")


class StackSearch:
    """What a stack answers is kept, until it is searched with all the rest."""

    def __init__(self, live: LiveStack) -> None:
        self.live = live
        self.secrets: dict[str, str] = {name: made_up(name) for name in CONTROLS}
        """By name, the controls among them; others are added as they become known."""
        self.folders: list[Path] = [live.folder.path]
        self._answers: list[bytes] = []

    def dsn(self, database: str) -> str:
        return Postgres(self.live.folder).url(database)

    def plant(self) -> None:
        """A control, in every place: so a search that finds nothing has looked."""
        control = self.secrets["control"]
        everything = b"\n".join(forms(control).values())
        (self.live.folder.path / "planted").write_bytes(b"one line\n" + everything)
        for database in _DATABASES:
            asyncio.run(self._plant_in(database, control, self.secrets["deleted control"]))
        shown = [sys.executable, "-c", "import time; time.sleep(1)", control]
        subprocess.run(shown, env={"PLANTED": control}, check=True)
        script = {"kind": "script", "name": "planted", "language": "bash", "content": control}
        answer = self.live.admin.put("/scripts/by-name/planted", json=script)
        assert answer.status_code in (200, 201), answer.text

    async def _plant_in(self, database: str, kept: str, deleted: str) -> None:
        """Rows long enough to be compressed if they may be."""
        db = await Database.connect(self.dsn(database), max_size=1)
        await db.execute("CREATE TABLE planted (content text STORAGE EXTERNAL)")
        for control in (kept, deleted):
            await db.execute("INSERT INTO planted VALUES ($1)", f"{'x' * 3000}{control}")
        await db.execute("DELETE FROM planted WHERE strpos(content, $1) > 0", deleted)
        await db.close()

    def crawl(self) -> None:
        """Every answer of the API to who may see everything, as far as it takes no parameter."""
        paths = httpx2.get(f"{self.live.stack.url}/api/openapi.json").json()["paths"]
        lists = [path for path, verbs in paths.items() if "get" in verbs and "{" not in path]
        wanted = [path.removeprefix("/api/v1") for path in lists if path.startswith("/api/v1/")]
        assert len(wanted) > 10
        for path in wanted:
            self.live.admin.get(path)

    def look(self, sampler: Sampler) -> Canary:
        """Search all of it."""
        canary = Canary(self.secrets)
        write_out(self.dsn("postgres"))
        assert sum(canary.look_through(folder) for folder in self.folders) > 1000
        for database in _DATABASES:
            assert canary.look_at_rows(database, self.dsn(database)) > 20
        canary.look("answers", b"\n".join(self._answers))
        sampler.look(canary)
        assert sampler.rounds > 20
        return canary

    def keep(self, answer: httpx2.Response) -> None:
        self._answers.append(answer.read())

    async def forget(self) -> None:
        (self.live.folder.path / "planted").unlink(missing_ok=True)
        for database in _DATABASES:
            db = await Database.connect(self.dsn(database), max_size=1)
            await db.execute("DROP TABLE IF EXISTS planted")
            await db.close()


def made_up(name: str) -> str:
    """A secret that says which it is, where it is found."""
    return f"{name}-{secrets.token_hex(6)}{HARD}"


@contextmanager
def searching(live: LiveStack) -> Iterator[StackSearch]:
    """Keep what can be searched for the time of the block; what was planted is gone after it."""
    search = StackSearch(live)
    for database in _DATABASES:
        make_readable(search.dsn(database))
    live.admin.event_hooks = {"response": [search.keep]}
    try:
        yield search
    finally:
        live.admin.event_hooks = {}
        asyncio.run(search.forget())


def left_over(canary: Canary) -> dict[str, dict[str, list[str]]]:
    """Which secrets that are no controls were found, where and in which forms."""
    real = {name: where(hits) for name, hits in canary.found.items() if name not in CONTROLS}
    return {name: places for name, places in real.items() if places}


def assert_controls_found(search: StackSearch, canary: Canary) -> None:
    """In every place, and in the file that has them in every form: those, too."""
    found = canary.found["control"]
    assert found["planted"] == set(forms(search.secrets["control"]))
    assert {"/proc/*/cmdline", "/proc/*/environ"} <= found.keys()
    assert {"answers", "opsgate.planted", "prefect.planted", "opsgate.script_versions"} <= found.keys()
    deleted = canary.found["deleted control"]
    assert {place.split("/")[1] for place in deleted if place.startswith("postgres/")} == {"base", "pg_wal"}
    assert not any(place.endswith(".planted") for place in deleted)
