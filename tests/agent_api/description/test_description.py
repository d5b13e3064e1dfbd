"""The API is what it says it is: its own description against whatever can be sent to it.

A short version runs in the suite; `./run chaos` sends many times as much.
"""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode

from definitions.permissions import ROLES
from tests.live.served_api import CHECKS, World
from tests.live.sizes import LIMIT_SECONDS, size

CALLERS = {"admin": size(4, 100), "viewer": size(1, 25), "nobody": size(1, 10), "web-1": size(1, 25)}
"""Who sends requests, and how many to each operation. `web-1` is an agent."""


def guard(operation: APIOperation) -> str:
    return str(operation.definition.raw["x-opsgate-guard"])


def is_for(permissions: Iterable[str], operation: APIOperation) -> bool:
    """Whether a person with these permissions may call it, as far as the route knows."""
    kind, _, wanted = guard(operation).partition(" ")
    return kind in ("public:", "signed") or wanted in permissions


def operations(world: World) -> Iterator[APIOperation]:
    for found in world.schema.get_all_operations():
        yield found.ok()


def test_every_operation_answers_as_described_when_called_as_it_should_be(world: World) -> None:
    described = {operation.label for operation in operations(world)}
    assert described - world.seen == set()
    assert world.wrong == []
    assert len(described) > 70


@st.composite
def requests(draw: st.DrawFn, operation: APIOperation, world: World) -> Case:
    """What the description allows or forbids, about something that is there or is not."""
    mode = draw(st.sampled_from(GenerationMode))
    try:
        case: Case = draw(operation.as_strategy(mode))
    except Unsatisfiable:  # there is nothing that could be wrong with it
        case = draw(operation.as_strategy())
    real = {name: world.real[name] for name in case.path_parameters or {} if name in world.real}
    if real and draw(st.integers(0, 3)):
        case.path_parameters.update({name: draw(st.sampled_from(values)) for name, values in real.items()})
    if operation.label == "POST /agent/v1/poll" and isinstance(case.body, dict):
        case.body["wait_seconds"] = 0  # nothing to wait for
    return case


def send_to(world: World, operation: APIOperation, who: str) -> None:
    """Raises at an answer that is not as described, or that this caller must not get."""

    @settings(
        max_examples=CALLERS[who],
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=requests(operation, world))
    def answered(case: Case) -> None:
        answer = case.call(base_url=world.url, headers=world.headers(who), timeout=30)
        case.validate_response(answer, checks=CHECKS)
        if who == "nobody" and not guard(operation).startswith("public"):
            assert answer.status_code == 401
        if who == "viewer" and not is_for(ROLES["viewer"], operation):
            assert answer.status_code in (401, 403)

    answered()


@pytest.mark.timeout(LIMIT_SECONDS)
@pytest.mark.parametrize("who", CALLERS)
def test_whatever_is_sent_is_answered_as_described(world: World, who: str) -> None:
    wrong = []
    for operation in operations(world):
        try:
            send_to(world, operation, who)
        except Exception as error:  # every operation has its turn
            wrong.append(f"{operation.label}: {error}")
    assert not wrong, "\n\n".join(wrong)
