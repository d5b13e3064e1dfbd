"""A gate whose texts hold what a job printed, on real rows."""

from definitions.permissions import Actor
from store import approvals
from store.connection import Database
from tasks.step_run import Waiting, failed
from tests.tasks.conftest import Bench, MakeBench


async def gate(make: MakeBench, admin: Actor, printed: str) -> Bench:
    texts = {"title": "Deploy {{inputs.what}}?", "description": "It is {{inputs.what}}."}
    step = await make(type="approval", approvers=[f"user:{admin.id}"], **texts)
    step.run.situation.inputs["what"] = printed
    return step


async def test_a_gate_opens_whatever_a_job_has_printed(bench: MakeBench, admin: Actor, db: Database) -> None:
    step = await gate(bench, admin, "a\0b\ud800")
    waiting = await step.begin()
    assert isinstance(waiting, Waiting), waiting.reason
    assert waiting.request_id is not None
    request = await approvals.show(db, admin, waiting.request_id)
    assert (request.title, request.description) == ("Deploy a\ufffdb??", "It is a\ufffdb?.")
    row = await db.fetchrow("SELECT name, input -> 'title' AS title FROM step_results")
    assert row is not None
    assert tuple(row) == ("Deploy a\ufffdb??", "Deploy a\ufffdb??")


async def test_a_reason_that_quotes_what_a_job_has_printed_is_kept(bench: MakeBench, db: Database) -> None:
    step = await bench()
    await step.begin()
    await step.close(failed("There is no host a\0b."))
    assert await db.fetchval("SELECT reason FROM step_results") == "There is no host a\ufffdb."
