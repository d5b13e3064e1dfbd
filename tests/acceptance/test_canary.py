"""After jobs with secrets and rotations no secret stands anywhere, and what is planted is found everywhere.

Searched are both databases with their data files and their log, every file of the stack and its agent, what
the API answered, and what processes showed of themselves meanwhile (`tests.live.canary`).
"""

import asyncio
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from deployments.stack.postgres import Postgres
from store import checkouts
from store.checkouts import Wanted
from store.connection import Database
from tests.live.canary import Canary, Sampler, forms, make_readable, where, write_out
from tests.live.logins import account, account_lets_in, role_lets_in
from tests.live.stack import LiveStack, until
from tests.live.vault import LiveVault

pytestmark = [pytest.mark.stack, pytest.mark.root, pytest.mark.timeout(300)]

HARD = "/+\"&'\\ünï c=d"
"""What every form writes otherwise."""
NAMES = ("parameter", "input", "control", "deleted control")
SCRIPT = {
    "kind": "script", "name": "reads-canary", "language": "bash",
    "content": 'sha256sum < "$PARAM_KEY_FILE"; cat "$PARAM_KEY_FILE"; exit "$PARAM_CODE"',
    "parameters": [{"name": "key", "type": "secret", "required": True},
                   {"name": "code", "type": "integer", "default": 0}],
}  # fmt: skip


@dataclass
class Run:
    """What a stack was made to do, and with which secrets."""

    live: LiveStack
    vault: LiveVault
    secrets: dict[str, str]
    answers: list[bytes]

    def dsn(self, database: str) -> str:
        return Postgres(self.live.folder).url(database)

    def use_secrets(self) -> None:
        """A script and a workflow get one each; the script prints it, and fails once."""
        live = self.live
        assert live.admin.put("/scripts/by-name/reads-canary", json=SCRIPT).status_code in (200, 201)
        steps = [{"id": "use", "type": "script", "script": "reads-canary",
                  "parameters": {"key": "{{inputs.key}}"}}]  # fmt: skip
        inputs = [{"name": "key", "type": "secret", "required": True}]
        live.publish({"name": "canary", "inputs": inputs, "steps": steps})
        for code in (0, 3):
            body = {"hosts": ["host-1"], "parameters": {"key": self.secrets["parameter"], "code": code}}
            made = live.admin.post("/scripts/reads-canary/execute", json=body)
            assert made.status_code == 201, made.text
            job = f"/jobs/{made.json()['jobs'][0]}"
            until(lambda job=job: live.admin.get(job).json()["ended_at"], 60, f"{job} to end")
            live.admin.get(f"{job}/output", params={"stream": "stdout"})
        number = live.launch("canary", ["host-1"], key=self.secrets["input"])
        assert live.ended(number)["status"] == "completed"

    def rotate(self, user: str, role: str) -> None:
        """An account and a role are checked out and in, and so rotated by the keeper, which is killed when
        the host has the account's next password and the vault does not know yet."""
        account = {"source": "kv_password", "path": f"secret/{user}", "username": user, "host": "host-1"}
        self._save(user, account)
        self._save(role, {"source": "database_static", "path": f"database/{role}", "username": role})
        self.live.publish({"name": "holds", "steps": [{"id": "wait", "type": "delay", "minutes": 10}]})
        number = self.live.launch("holds", ["host-1"])
        with self.live.killed_at("rotation.set_on_host") as hit:
            for name in (user, role):
                checkout = asyncio.run(self._check_out(number, _identity(name)))
                assert self.live.admin.post(f"/checkouts/{checkout}/checkin").status_code == 200
            until(hit, 90, "the keeper to be killed")
        for name in (user, role):
            self._until_rotated(f"/identities/{_identity(name)}")
        self.live.admin.post(f"/instances/{number}/cancel")

    def _until_rotated(self, identity: str) -> None:
        until(lambda: self.live.admin.get(identity).json()["rotated_at"], 90, f"{identity} to be rotated")

    def _save(self, name: str, more: dict[str, Any]) -> None:
        document = {"name": _identity(name), "vault": "local", "rotate_after_use": True, **more}
        answer = self.live.admin.put(f"/identities/by-name/{document['name']}", json=document)
        assert answer.status_code == 201, answer.text

    async def _check_out(self, instance: int, identity: str) -> int:
        db = await Database.connect(self.dsn("opsgate"), max_size=1)
        async with db.transaction() as tx:
            made = await checkouts.request(tx, Wanted(instance, f"out-{identity}", 1, identity))
        await db.close()
        return made.id

    def plant(self) -> None:
        """A control, in every place: so a search that finds nothing has looked."""
        control = self.secrets["control"]
        everything = b"\n".join(forms(control).values())
        (self.live.folder.path / "planted").write_bytes(b"one line\n" + everything)
        for database in ("opsgate", "prefect"):
            asyncio.run(self._plant_in(database, control, self.secrets["deleted control"]))
        shown = [sys.executable, "-c", "import time; time.sleep(1)", control]
        subprocess.run(shown, env={"PLANTED": control}, check=True)
        script = {**SCRIPT, "name": "planted", "content": control}
        assert self.live.admin.put("/scripts/by-name/planted", json=script).status_code in (200, 201)

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


def _identity(name: str) -> str:
    return name.replace("-", "_")


@pytest.fixture(scope="module")
def run(live: LiveStack) -> Iterator[Run]:
    """All of it, with one search at the end."""
    assert live.stack.vault is not None
    vault = LiveVault(live.folder, live.stack.vault, Postgres(live.folder), live.stack.processes)
    answers: list[bytes] = []

    def heard(answer: httpx2.Response) -> None:
        answers.append(answer.read())

    made = {name: f"{name}-{secrets.token_hex(6)}{HARD}" for name in NAMES}
    found = Run(live, vault, {**made, "first": f"first-{secrets.token_hex(12)}"}, answers)
    live.admin.event_hooks = {"response": [heard]}
    try:
        yield found
    finally:
        live.admin.event_hooks = {}
        (live.folder.path / "planted").unlink(missing_ok=True)
        for database in ("opsgate", "prefect"):
            asyncio.run(_drop(found.dsn(database)))


async def _drop(dsn: str) -> None:
    db = await Database.connect(dsn, max_size=1)
    await db.execute("DROP TABLE IF EXISTS planted")
    await db.close()


@pytest.fixture(scope="module")
def searched(run: Run) -> Iterator[Canary]:
    for database in ("opsgate", "prefect"):
        make_readable(run.dsn(database))
    role = f"canary_{secrets.token_hex(4)}"
    with account(run.secrets["first"]) as user, Sampler() as sampler:
        run.vault.put(user, password=run.secrets["first"])
        asyncio.run(run.vault.static_role(role))
        run.secrets["role's first"] = run.vault.password_of(role)
        run.use_secrets()
        run.rotate(user, role)
        run.plant()
        run.crawl()
        run.secrets |= {
            "account's next": run.vault.secret(user)[1]["password"],
            "role's next": run.vault.password_of(role),
        }
        for name, works in (("first", False), ("account's next", True)):
            assert account_lets_in(user, run.secrets[name]) == works
        for name, works in (("role's first", False), ("role's next", True)):
            url = run.vault.login_url(role)
            assert asyncio.run(role_lets_in(url, role, run.secrets[name])) == works
        yield _search(run, sampler)


def _search(run: Run, sampler: Sampler) -> Canary:
    canary = Canary(run.secrets)
    write_out(run.dsn("postgres"))
    assert canary.look_through(run.live.folder.path) > 1000
    for database in ("opsgate", "prefect"):
        assert canary.look_at_rows(database, run.dsn(database)) > 20
    canary.look("answers", b"\n".join(run.answers))
    sampler.look(canary)
    assert sampler.rounds > 20
    return canary


def test_no_secret_of_a_job_an_input_or_a_rotation_stands_anywhere(searched: Canary) -> None:
    real = {name: where(hits) for name, hits in searched.found.items() if not name.endswith("control")}
    left = {name: places for name, places in real.items() if places}
    assert left == {}


def test_what_was_planted_is_found_in_every_place_and_form(run: Run, searched: Canary) -> None:
    found = searched.found["control"]
    assert found["planted"] == set(forms(run.secrets["control"]))
    assert {"/proc/*/cmdline", "/proc/*/environ"} <= found.keys()
    assert {"answers", "opsgate.planted", "prefect.planted", "opsgate.script_versions"} <= found.keys()


def test_a_row_that_was_deleted_is_still_found_in_the_files_of_the_database(searched: Canary) -> None:
    found = searched.found["deleted control"]
    assert {place.split("/")[1] for place in found if place.startswith("postgres/")} == {"base", "pg_wal"}
    assert not any(place.endswith(".planted") for place in found)
