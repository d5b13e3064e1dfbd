"""Secret inputs of instances: sealed while it runs, shown as a mark, erased when it ends."""

import os
from typing import Any

import pytest

from definitions.errors import Invalid, Unavailable
from store import instances, sealed_values
from store.sealing import SealingKeys

MARKER = "mArKeR-hunter2"
INPUTS = [{"name": "key", "type": "secret"}, {"name": "plain"}]
STEPS = [{"id": "a", "type": "command", "command": "true"}]


@pytest.fixture
async def started(org: Any) -> Any:
    org.db.keys = SealingKeys([os.urandom(32)])
    await org.publish(STEPS, inputs=INPUTS)
    return await org.start("deploy", key=MARKER, plain="shown")


async def test_an_instance_keeps_a_mark_and_the_sealed_value(org: Any, started: Any) -> None:
    assert started.inputs == {"key": "***", "plain": "shown"}
    row = await org.db.fetchrow("SELECT i::text AS text, inputs FROM instances i")
    assert row["inputs"] == {"key": "***", "plain": "shown"}
    assert MARKER not in row["text"]
    assert MARKER.encode().hex() not in row["text"]
    assert await sealed_values.of_instance(org.db, started.id) == {"key": MARKER}


async def test_a_secret_that_was_not_given_needs_no_key(org: Any) -> None:
    await org.publish(STEPS, inputs=INPUTS)
    view = await org.start("deploy", plain="shown")
    assert view.inputs["key"] is None
    assert await sealed_values.of_instance(org.db, view.id) == {}


async def test_without_a_key_an_instance_with_a_secret_is_not_started(org: Any) -> None:
    await org.publish(STEPS, inputs=INPUTS)
    with pytest.raises(Unavailable, match="no sealing key"):
        await org.start("deploy", key=MARKER)
    assert await org.db.fetchval("SELECT count(*) FROM instances") == 0


async def test_cancelling_one_that_has_not_begun_erases_them(org: Any, started: Any) -> None:
    await instances.cancel(org.db, org.ana, started.id)
    assert await org.db.fetchval("SELECT sealed_inputs FROM instances") is None


async def test_running_again_asks_for_the_secret_anew(org: Any, started: Any) -> None:
    with pytest.raises(Invalid) as refused:
        await instances.rerun(org.db, org.ana, started.id)
    assert [problem.pointer for problem in refused.value.problems] == ["/inputs/key"]


async def test_an_instance_without_its_secret_can_be_run_again(org: Any) -> None:
    await org.publish(STEPS, inputs=INPUTS)
    view = await org.start("deploy", plain="shown")
    assert (await instances.rerun(org.db, org.ana, view.id)).inputs == {"key": None, "plain": "shown"}


async def test_a_secret_is_not_given_to_a_version_for_which_it_is_none(org: Any, started: Any) -> None:
    await org.publish(STEPS, inputs=[{"name": "key"}, {"name": "plain"}])
    with pytest.raises(Invalid, match=r"`key` was a secret.*version 1, which can be run again") as refused:
        await instances.rerun(org.db, org.ana, started.id, {"key": MARKER})
    assert [problem.pointer for problem in refused.value.problems] == ["/inputs/key"]
    assert MARKER not in await org.db.fetchval("SELECT string_agg(i::text, '') FROM instances i")
    again = await instances.rerun(org.db, org.ana, started.id, {"key": MARKER}, same_version=True)
    assert again.inputs["key"] == "***"


async def test_an_input_that_nobody_gave_and_that_is_gone_keeps_none_from_running_again(org: Any) -> None:
    await org.publish(STEPS, inputs=[{"name": "plain"}, {"name": "more"}])
    view = await org.start("deploy", plain="shown")
    await org.publish(STEPS, inputs=[{"name": "plain"}])
    assert (await instances.rerun(org.db, org.ana, view.id)).inputs == {"plain": "shown"}


async def test_an_approver_sees_that_it_was_given_and_not_what(org: Any) -> None:
    org.db.keys = SealingKeys([os.urandom(32)])
    gate = {"id": "gate", "type": "approval", "title": "Deploy?", "approvers": ["role:approver"]}
    await org.publish([gate], inputs=INPUTS)
    request = await org.open_gate(await org.start("deploy", key=MARKER))
    frozen = await org.db.fetchval("SELECT frozen FROM approval_requests WHERE id = $1", request.id)
    assert frozen["inputs"] == {"key": "***", "plain": None}
