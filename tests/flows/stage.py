"""The engine's loop on a real store, with a clock that stands still, two hosts, two people, and no Prefect.

What Prefect does for a segment is done here in its place: a step's task is called, a suspension is taken.
Of the engine nothing is replaced; it is watched, to know when it only waits, and a step that settles at once
is kept as long as its scenario says that it takes. Holds no rule of workflows; `play` plays a case on it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any, NoReturn, cast
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.flow_runs import Pause  # type: ignore[attr-defined]  # Prefect re-exports it undeclared
from prefect.states import Suspended

from definitions.identity import Identity, parse_identity
from definitions.permissions import SYSTEM, Actor
from definitions.routing import Active
from definitions.vault import Vault, parse_vault
from definitions.workflow import Workflow, all_steps
from flows import segment
from flows.compile import CompiledWorkflow, _run_step
from flows.keeper import Keeper
from flows.members import Member
from flows.process import EngineProcess
from flows.segment import Segment
from store import users
from store.identities import IDENTITIES
from store.vaults import VAULTS
from tasks.kinds import KINDS, Kind
from tasks.step_run import Settled, StepRun
from tests.store.jobs.conftest import FakeAgent

CLOCK = """
CREATE SCHEMA clock;
CREATE TABLE clock.hands (at timestamptz NOT NULL);
INSERT INTO clock.hands VALUES (now());
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE plpgsql STABLE
    AS 'BEGIN RETURN (SELECT at FROM clock.hands); END';
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql VOLATILE
    AS 'BEGIN RETURN (SELECT at FROM clock.hands); END';
SET search_path = clock, pg_catalog, public;
DO $$
DECLARE each record;
BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = clock, pg_catalog, public', current_database());
    FOR each IN SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = 'public' AND column_default ~ '(now|clock_timestamp)\\(\\)' LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET DEFAULT now()', each.table_name, each.column_name);
    END LOOP;
END $$;
"""
"""Every `now()` of the product's SQL is the hands of this clock: who moves them has time pass."""


class _Bell(asyncio.Event):
    """Tells its member that it is about to look again."""

    def __init__(self, member: "WatchedMember") -> None:
        super().__init__()
        self._member = member

    def clear(self) -> None:
        self._member.rests = False
        super().clear()


class WatchedMember(Member):
    """Knows when it has looked, and only waits to be rung."""

    rests = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._bell = _Bell(self)

    def _tell(self, *, only_waits: bool) -> None:
        super()._tell(only_waits=only_waits)
        self.rests = True

    @property
    def at_rest(self) -> bool:
        return self.rests and not self._bell.is_set()


@dataclass
class Watcher:
    """What is seen of one instance while the engine runs it."""

    now: datetime
    segment: Segment | None = None
    began: dict[str, datetime] = field(default_factory=dict)
    kept: dict[Active, asyncio.Event] = field(default_factory=dict)
    """Steps that have settled at once: set, when the time has come to say so."""
    unsaid: dict[str, datetime] = field(default_factory=dict)
    """Those that were given up before: they leave nothing in the store."""
    segments: int = 0

    def begins(self, segment: Segment) -> None:
        self.segment = segment
        self.segments += 1

    async def keep(self, run: StepRun) -> None:
        self.kept[run.active] = due = asyncio.Event()
        while not due.is_set() and run.active in run.situation.frontier:
            with suppress(TimeoutError):
                await asyncio.wait_for(due.wait(), 0.005)
        del self.kept[run.active]
        if not due.is_set():
            self.unsaid[run.active.step] = self.now

    def only_waits(self) -> bool:
        """Whether the segment goes on by nothing but a ring, and does not park either."""
        assert self.segment is not None
        members = cast(dict[Active, WatchedMember], self.segment.members)
        if not members or members.keys() != set(self.segment.situation.frontier):
            return False
        resting = [self._rests(active, member) for active, member in members.items()]
        return all(resting) and not all(member.only_waits for member in members.values())

    def _rests(self, active: Active, member: WatchedMember) -> bool:
        if member.task.done():
            return False
        return not self.kept[active].is_set() if active in self.kept else member.at_rest


@dataclass(frozen=True)
class Given:
    """What a vault gives."""

    secret: str = "correct horse"
    passphrase: str | None = None


async def _read(vault: Vault, identity: Identity) -> Given:
    return Given()


class Stage:
    """Where cases are played, one after the other."""

    def __init__(self, process: EngineProcess, admin: Actor, voter: Actor, agents: list[FakeAgent]) -> None:
        self.db = process.db
        self.starter = admin
        self.voter = voter
        self.agents = {agent.actor.name: agent for agent in agents}
        self.hot = process
        self.cold = replace(process, settings=process.settings.model_copy(update={"hot_seconds": 0.0}))
        """Nothing waits in memory in it: each wait is a park, and what ends it begins a segment."""
        self.keeper = Keeper(process, cast(Any, None), lambda _: False, lambda: False)
        self.watcher: Watcher
        self._identities: set[str] = set()

    async def identity(self, name: str, username: str) -> None:
        """Have an identity that takes a yes of people."""
        if name in self._identities:
            return
        self._identities.add(name)
        rule = {"requires_approval": True, "approval": {"approvers": ["role:approver"]}}
        place = {"vault": "main", "source": "kv_password", "path": "secret/x"}
        made, problems = parse_identity({"name": name, "username": username, **place, **rule})
        assert made is not None, problems
        await IDENTITIES.put(self.db, SYSTEM, made)

    async def turn_clock(self, to: datetime) -> None:
        await self.db.execute("UPDATE clock.hands SET at = $1", to)

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in for Prefect, and watch the engine."""
        context = SimpleNamespace(flow_run=SimpleNamespace(id=uuid4()), client=object())
        monkeypatch.setattr(FlowRunContext, "get", lambda: context)
        monkeypatch.setattr(segment, "PrefectClient", object)
        monkeypatch.setattr(segment, "suspend", _suspend)
        monkeypatch.setattr(segment, "Member", WatchedMember)
        begin = Segment.__init__

        def begins(one: Segment, *args: Any) -> None:
            begin(one, *args)
            self.watcher.begins(one)

        monkeypatch.setattr(Segment, "__init__", begins)
        for name, kind in KINDS.items():
            monkeypatch.setitem(KINDS, name, Kind(self._watched(kind.begin), kind.settle))

    def _watched(self, begin: Callable[[StepRun], Awaitable[Any]]) -> Callable[[StepRun], Awaitable[Any]]:
        async def watched(run: StepRun) -> Any:
            watcher = self.watcher
            watcher.began.setdefault(run.active.step, watcher.now)
            answer = await begin(run)
            if isinstance(answer, Settled):
                await watcher.keep(run)
            return answer

        return watched


async def _suspend(*_: Any) -> NoReturn:
    raise Pause(state=Suspended())


async def _as_prefect_calls_it(**_: Any) -> State[None]:
    state = await _run_step()
    state.state_details.task_run_id = uuid4()
    return state


def compiled(workflow: Workflow) -> CompiledWorkflow:
    """The workflow with tasks that need no Prefect."""
    tasks = {step.id: _as_prefect_calls_it for step in all_steps(workflow.steps)}
    return CompiledWorkflow(workflow, cast(Any, None), cast(Any, tasks))


async def set_up(process: EngineProcess, admin: Actor, agents: list[FakeAgent]) -> Stage:
    """Somebody who votes, and a vault; the agents' hosts are there."""
    vault, problems = parse_vault(
        {"name": "main", "address": "https://vault.test", "auth": {"method": "token", "token": "env:T"}}
    )
    assert vault is not None, problems
    await VAULTS.put(process.db, SYSTEM, vault)
    view = await users.create(process.db, SYSTEM, "bo", None, None, ["approver"])
    for agent in agents:
        agent.read = _read
    return Stage(process, admin, await users.actor_of(process.db, view.id), agents)
