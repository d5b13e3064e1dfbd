"""Workflows that check an identity out, log in as it, and then end in every way while parts are killed.

Afterwards every checkout has ended, every identity that is rotated after use has a new password that logs
in and an old one that does not, and no secret stands anywhere. All twenty under `./run chaos`.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from store.failpoints import POINTS
from tests.live.canary import Canary, Sampler
from tests.live.databases import execute
from tests.live.known_as import Kind, KnownAs, Makes, makes, rotated
from tests.live.of_user import OfUser, of_user
from tests.live.sizes import CHAOS
from tests.live.stack import LiveStack, until
from tests.live.stack_search import StackSearch, assert_controls_found, left_over, searching

pytestmark = [pytest.mark.stack, pytest.mark.root, pytest.mark.timeout(1800 if CHAOS else 300)]

HOSTS: dict[Kind, str] = {"role": "host-1", "account": "host-1", "su": "host-of-user"}
Then = Literal["checks in", "ends", "fails", "is cancelled", "times out", "expires", "is lost", "is a script"]


@dataclass(frozen=True)
class Case:
    """As whom a workflow logs in, what comes then, and what is killed meanwhile: who comes to a point, or a
    part once the job has logged in."""

    kind: Kind
    then: Then
    killed: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.then} {self.killed}".strip().replace(" ", "-")

    @property
    def waits(self) -> bool:
        """Whether its job goes on until it is told, or for ever."""
        return self.killed in PARTS or self.then in ("is cancelled", "times out", "expires", "is lost")

    @property
    def status(self) -> str:
        ended = {"is cancelled": "cancelled", "checks in": "completed", "ends": "completed"}
        return "completed" if self.then == "is a script" else ended.get(self.then, "failed")

    @property
    def reason(self) -> str:
        """A part of what the instance says."""
        reasons = {"fails": "exit code 3", "expires": "Its time is over.", "is lost": "stopped or the host"}
        return reasons.get(self.then, "")


PARTS = ("vault", "web", "worker", "agent")
SHORT = [
    Case("role", "fails", "web.credential_read"),
    Case("account", "is cancelled", "worker.cancelling"),
    Case("account", "checks in", "vault"),
    Case("role", "is lost", "agent"),
    Case("su", "times out", "worker.after_dispatch"),
]
MORE = [
    Case("role", "checks in", "worker.checkout_requested"),
    Case("role", "checks in", "worker.checked_in"),
    Case("role", "is cancelled"),
    Case("role", "times out", "vault"),
    Case("role", "expires"),
    Case("role", "ends", "rotation.vault_turned"),
    Case("role", "is a script", "worker.woken"),
    Case("account", "fails", "rotation.set_on_host"),
    Case("account", "is cancelled", "web"),
    Case("account", "times out", "worker.ended"),
    Case("account", "is lost", "agent"),
    Case("account", "ends", "rotation.pending_written"),
    Case("account", "is a script", "worker"),
    Case("su", "checks in", "web.credential_read"),
    Case("su", "is lost", "agent"),
]
CASES = [*SHORT, *(MORE if CHAOS else [])]
assert len(SHORT + MORE) == 20


@dataclass
class Whole:
    """The stack with a second host, whose agent is not root, and everything that was used on it."""

    live: LiveStack
    makes: Makes
    search: StackSearch
    sampler: Sampler
    used: list[KnownAs] = field(default_factory=list)

    def publish(self, case: Case, known: KnownAs) -> str:
        """The workflow of a case; its name."""
        go = known.notes.with_suffix(".go")
        waiting = f"until [ -e {go} ]; do sleep 0.1; done"
        after = "exit 3" if case.then == "fails" else waiting if case.waits else "true"
        command = f"set -e; {known.log_in}; {after}"
        use: dict[str, Any] = {"id": "use", "type": "command", "command": command, "run_as": "{{who}}"}
        if case.then == "times out":
            use["timeout_seconds"] = 6
        out = {"id": "out", "type": "pam_checkout", "identity": known.name, "variable_name": "who"}
        steps = [out, use, {"id": "in", "type": "pam_checkin"}]
        if case.then == "is a script":
            script = {"name": known.user, "language": "bash", "content": command, "run_as": known.name}
            answer = self.live.admin.put(f"/scripts/by-name/{known.user}", json=script)
            assert answer.status_code == 201, answer.text
            steps = [{"id": "use", "type": "script", "script": known.user}]
        elif case.then == "ends":
            steps = steps[:2]
        name = f"w-{known.user}".replace("_", "-")
        self.live.publish({"name": name, "steps": steps})
        return name

    def kill(self, part: str, host: str) -> None:
        """And wait until it is there again."""
        name = f"agent-{host}" if part == "agent" else part
        before = self.live.kill(name)
        until(lambda: self.live.stack.processes.pid(name) not in (None, before), 60, f"{name} to be back")

    def checkouts(self, known: KnownAs) -> list[dict[str, Any]]:
        answer = self.live.admin.get("/checkouts", params={"identity": known.name})
        found: list[dict[str, Any]] = answer.json()["items"]
        return found


@pytest.fixture(scope="module")
def whole(live: LiveStack) -> Iterator[Whole]:
    notes = Path(tempfile.mkdtemp(prefix="og-notes-"))
    notes.chmod(0o777)
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, notes)
        search = ends.enter_context(searching(live))
        agent_user: OfUser = ends.enter_context(of_user())
        name = live.add_agent(HOSTS["su"], agent_user)
        ends.callback(lambda: live.call(live.stack.processes.remove(name)))
        search.folders += [notes, agent_user.folder]
        make = ends.enter_context(makes(live, notes))
        sampler = ends.enter_context(Sampler())
        yield Whole(live, make, search, sampler)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_logs_in_and_whatever_comes_then_its_checkout_ends(whole: Whole, case: Case) -> None:
    live, known = whole.live, whole.makes.one(case.kind, HOSTS[case.kind])
    whole.used.append(known)
    whole.search.secrets[f"first of {case}"] = known.first
    workflow = whole.publish(case, known)
    with ExitStack() as ends:
        hit = ends.enter_context(live.killed_at(case.killed)) if case.killed in POINTS else None
        number = live.launch(workflow, [known.host])
        if case.waits:
            until(known.logged_in, 60, "the job to log in", live, number)
            disturb(whole, case, known, number)
        ended = live.ended(number, 120)
        if hit is not None:
            until(hit, 60, f"the failpoint {case.killed} to be hit")
    assert ended["status"] == case.status, ended
    assert case.reason in ended["reason"]
    assert known.notes.read_text() == f"{known.user}\n", "it was this identity, once"
    until(lambda: all(one["ended_at"] for one in whole.checkouts(known)), 30, "its checkouts to end")
    (checkout,) = whole.checkouts(known)
    assert checkout["status"] == "ended"


def disturb(whole: Whole, case: Case, known: KnownAs, number: int) -> None:
    """Kill what is to be killed while the job holds the identity, and let it go on as it should."""
    if case.killed in PARTS:
        whole.kill(case.killed, known.host)
    if case.then == "is cancelled":
        until(partial(cancels, whole.live, number), 60, "the cancel to be taken")
    elif case.then == "expires":
        over = """UPDATE checkouts SET deadline = now() FROM identities i
            WHERE i.id = identity_id AND i.name = $1 AND ended_at IS NULL"""
        execute(whole.live, over, known.name)
    elif case.then not in ("times out", "is lost"):
        known.notes.with_suffix(".go").touch()


def cancels(live: LiveStack, number: int) -> bool:
    return live.admin.post(f"/instances/{number}/cancel").status_code == 200


def test_every_identity_that_was_used_has_a_new_password_and_the_old_one_lets_nobody_in(
    whole: Whole,
) -> None:
    assert len(whole.used) >= len(CASES)
    rotated(whole.live, [known for known in whole.used if known.is_rotated])
    for known in whole.used:
        current = known.current()
        whole.search.secrets[f"current of {known.user}"] = current
        assert known.lets_in(current), known
        if known.is_rotated:
            assert current != known.first
            assert not known.lets_in(known.first), known


@pytest.fixture(scope="module")
def searched(whole: Whole) -> Canary:
    whole.search.plant()
    whole.search.crawl()
    for known in whole.used:
        for checkout in whole.checkouts(known):
            whole.live.admin.get(f"/checkouts/{checkout['id']}")
    return whole.search.look(whole.sampler)


def test_no_password_of_any_of_them_stands_anywhere(searched: Canary) -> None:
    assert left_over(searched) == {}


def test_what_was_planted_is_found(whole: Whole, searched: Canary) -> None:
    assert_controls_found(whole.search, searched)
