"""Random workflows, the same as the simulator walks, run by the engine's own loop and the reference alike."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from itertools import islice
from typing import Any

import asyncpg
import pytest

from definitions.permissions import Actor
from flows.process import EngineProcess
from store.connection import Database
from tests.definitions.reference_interpreter import at_once, interpret
from tests.definitions.test_random_workflows import Author
from tests.flows.play import Play, steps_of
from tests.flows.seldom import SELDOM, Case
from tests.flows.stage import CLOCK, Stage, set_up
from tests.live.sizes import CHAOS, LIMIT_SECONDS
from tests.store.jobs.conftest import FakeAgent
from tests.store.jobs.conftest import admin as admin
from tests.store.jobs.conftest import enrolled as enrolled

NEAR = 1e-3
"""Seconds; the store keeps microseconds."""


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A pool on a fresh database with a clock of its own."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(CLOCK)
    await connection.close()
    database = await Database.connect(database_url, max_size=8)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def stage(
    process: EngineProcess,
    admin: Actor,
    enrolled: Callable[[str], Awaitable[FakeAgent]],
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    made = await set_up(process, admin, [await enrolled("h1"), await enrolled("h2")])
    made.patch(monkeypatch)
    return made


def case(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The workflow and the scenario of that seed, as far as a real store can bring it about: a delay takes as
    long as it says, and no delay and no check-in ever fails."""
    author = Author(random.Random(seed))
    document, scenario = author.document(), author.scenario()
    document["name"] = f"w{seed}"
    for step in steps_of(document):
        told = scenario["steps"].get(step["id"])
        if step["type"] in ("delay", "pam_checkin"):
            told["outcome"] = "success"
        if step["type"] == "delay":
            del step["hours"]
            step["seconds"] = told["seconds"]
        if step["type"] == "approval":
            step["approvers"] = ["role:approver"]
    return document, scenario


@pytest.mark.timeout(LIMIT_SECONDS)
async def test_the_path_and_every_value_are_the_reference_interpreters(stage: Stage) -> None:
    seen: Counter[str] = Counter()
    for seed in _seeds():
        document, scenario = case(seed)
        if at_once(interpret(document, scenario)[1]):
            continue
        now: datetime = await stage.db.fetchval("SELECT now()")
        play = Play(stage, document, scenario, hot=seed % 2 == 0, now=now)
        await play.play()
        await _agrees_with_reference(play, f"seed {seed}")
        seen.update(await _what_there_was(play))
    assert min(seen[word] for word in ("completed", "failed", "cancelled")) > 5, seen
    ran = [
        f"{kind} {word}" for kind in ("run_as", "parallel") for word in ("completed", "failed", "cancelled")
    ]
    assert all(seen[word] for word in [*ran, "pam_checkout failed", "pam_checkin completed"]), seen
    assert seen["hot"] > seen["hot parks"] > 20 < seen["cold parks"], seen
    assert all(seen[f"{how}: {what}"] for how in ("hot", "cold") for what in SELDOM), seen


def _seeds() -> list[int]:
    """In the suite some fifty: the first, the longest of two thousand, the shortest that are cancelled,
    and of each thing that the dice seldom give the shortest to wait in memory and the shortest to park."""
    if CHAOS:
        return list(range(2_000))
    told = {seed: _told(*case(seed)) for seed in range(2_000)}
    by_length = sorted(told, key=lambda seed: len(told[seed].events))
    told_apart = [seed for seed in by_length if not at_once(told[seed].events)]
    shows: dict[tuple[str, int], int] = {}
    for seed in told_apart:
        for what in told[seed].seldom():
            shows.setdefault((what, seed % 2), seed)
    cancelled = islice((seed for seed in told_apart if interpret(*case(seed))[0] == "cancelled"), 6)
    return list(dict.fromkeys([*range(20), *by_length[-5:], *cancelled, *shows.values()]))


def _told(document: dict[str, Any], scenario: dict[str, Any]) -> Case:
    return Case(document, scenario, interpret(document, scenario)[1])


async def _agrees_with_reference(play: Play, which: str) -> None:
    """Every step, in its branch's order: when it began and ended, how, and which values its hosts got."""
    status, found = await play.walked()
    expected_status, events = interpret(play.document, play.scenario)
    expected = {event.step: (event.status, event.values) for event in events}
    nothing_sent = {
        step
        for step, (_, _, how, values) in found.items()
        if values is None and how == "failed" and "run_as" in play.steps[step]
    }  # what it runs as had ended before any host was given anything
    for step in nothing_sent | play.seen.unsaid.keys():
        expected[step] = (expected[step][0], None)
    assert (status, {step: (how, values) for step, (_, _, how, values) in found.items()}) == (
        expected_status,
        expected,
    ), which
    moments = {step: (began, ended) for step, (began, ended, _, _) in found.items()}
    for event in events:
        assert moments[event.step] == pytest.approx((event.began, event.ended), abs=NEAR), which
    assert _by_branch(play, list(play.seen.began)) == _by_branch(play, [event.step for event in events]), (
        which
    )
    by = {event.step: event.by for event in events}
    for step, checkout in await play.ran_by():
        assert checkout == by[step], f"{which}: {step}"
    for step, given in play.given.items():
        assert all(values == expected[step][1] for values in given), f"{which}: {step}"


def _by_branch(play: Play, steps: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for step in steps:
        found.setdefault(play.workflow.branch(step), []).append(step)
    return found


async def _what_there_was(play: Play) -> list[str]:
    """How it and its steps ended, to see that these were among the dice."""
    status, found = await play.walked()
    kinds = {name: "run_as" if "run_as" in step else step["type"] for name, step in play.steps.items()}
    ended = [f"{kinds[step]} {how}" for step, (_, _, how, _) in found.items()]
    how = "cold" if play.process is play.stage.cold else "hot"
    seldom = [f"{how}: {what}" for what in _told(play.document, play.scenario).seldom()]
    return [status, *ended, *seldom, *[how] * len(found), *[f"{how} parks"] * (play.seen.segments - 1)]
