"""After jobs with secrets and rotations no secret stands anywhere, and what is planted is found everywhere.

How it is searched: `tests.live.stack_search`.
"""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from store import checkouts
from store.checkouts import Wanted
from store.connection import Database
from tests.live.canary import Canary, Sampler
from tests.live.logins import account, account_lets_in, role_lets_in
from tests.live.stack import LiveStack, until
from tests.live.stack_search import StackSearch, assert_controls_found, left_over, made_up, searching
from tests.live.vault import LiveVault, vault_of

pytestmark = [pytest.mark.stack, pytest.mark.root, pytest.mark.timeout(300)]

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
    search: StackSearch

    @property
    def secrets(self) -> dict[str, str]:
        return self.search.secrets

    @secrets.setter
    def secrets(self, known: dict[str, str]) -> None:
        self.search.secrets = known

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
        db = await Database.connect(self.search.dsn("opsgate"), max_size=1)
        async with db.transaction() as tx:
            made = await checkouts.request(tx, Wanted(instance, f"out-{identity}", 1, identity))
        await db.close()
        return made.id


def _identity(name: str) -> str:
    return name.replace("-", "_")


@pytest.fixture(scope="module")
def run(live: LiveStack) -> Iterator[Run]:
    """All of it, with one search at the end."""
    with searching(live) as search:
        search.secrets |= {name: made_up(name) for name in ("parameter", "input")}
        search.secrets["first"] = f"first-{secrets.token_hex(12)}"
        yield Run(live, vault_of(live), search)


@pytest.fixture(scope="module")
def searched(run: Run) -> Iterator[Canary]:
    role = f"canary_{secrets.token_hex(4)}"
    with account(run.secrets["first"]) as user, Sampler() as sampler:
        run.vault.put(user, password=run.secrets["first"])
        asyncio.run(run.vault.static_role(role))
        run.secrets["role's first"] = run.vault.password_of(role)
        run.use_secrets()
        run.rotate(user, role)
        run.search.plant()
        run.search.crawl()
        run.secrets |= {
            "account's next": run.vault.secret(user)[1]["password"],
            "role's next": run.vault.password_of(role),
        }
        for name, works in (("first", False), ("account's next", True)):
            assert account_lets_in(user, run.secrets[name]) == works
        for name, works in (("role's first", False), ("role's next", True)):
            url = run.vault.login_url(role)
            assert asyncio.run(role_lets_in(url, role, run.secrets[name])) == works
        yield run.search.look(sampler)


def test_no_secret_of_a_job_an_input_or_a_rotation_stands_anywhere(searched: Canary) -> None:
    assert left_over(searched) == {}


def test_what_was_planted_is_found_in_every_place_and_form_deleted_rows_too(
    run: Run, searched: Canary
) -> None:
    assert_controls_found(run.search, searched)
