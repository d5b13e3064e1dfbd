"""How an instance ends: what it gives back, and why it failed once it was resumed."""

from typing import Any, cast

from definitions.permissions import SYSTEM
from definitions.variables import HostFacts, StepFacts
from definitions.workflow import parse
from flows.compile import CompiledWorkflow
from flows.process import EngineProcess
from flows.segment import Segment
from store import instances
from store.engine import leases, situation
from tasks.step_run import Settled, completed, failed


def step(step_id: str, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "type": "command", "command": "true", **more}


async def play(process: EngineProcess, instance: int, document: dict[str, Any], *answers: Settled) -> Any:
    """Close the steps of the frontier with these answers, one after the other."""
    workflow, problems = parse(document)
    assert workflow is not None, problems
    await process.db.execute("UPDATE workflow_versions SET definition = $1", document)
    lease = await leases.take(process.db, instance, process.worker_id)
    found = await situation.load(process.db, lease, workflow)
    for answer in answers:
        one = Segment(process, cast(CompiledWorkflow, None), lease, found)
        await one._close(found.frontier[0], answer, None)
    await leases.release(process.db, lease, went_well=True)
    return await process.db.fetchrow("SELECT status, reason, outputs FROM instances")


async def test_what_the_last_step_printed_is_given_back_too(process: EngineProcess, instance: int) -> None:
    outputs = {"n": "{{step_b.json.n}}", "gone": "{{step_b.json.ip}}", "by": "{{instance.started_by}}"}
    document = {"name": "w", "steps": [step("a"), step("b")], "outputs": outputs}
    facts = StepFacts(hosts=(HostFacts(host="h", stdout='{"n": 3}', exit_code=0),))
    row = await play(process, instance, document, completed(), completed(facts=facts))
    assert (row["status"], row["outputs"]) == ("completed", {"n": 3, "gone": None, "by": "ann"})
    assert row["reason"].startswith("Output `gone`: {{step_b.json.ip}} has no value")


async def test_what_fails_gives_nothing_back(process: EngineProcess, instance: int) -> None:
    document = {"name": "w", "steps": [step("a")], "outputs": {"x": "{{step_a.stdout}}"}}
    row = await play(process, instance, document, failed("On h: Exit code 1."))
    assert (row["status"], row["outputs"]) == ("failed", None)


async def test_what_failed_before_it_was_resumed_is_not_why_it_fails_now(
    process: EngineProcess, instance: int
) -> None:
    steps = [step("a", on_failure="undo"), step("b", on_success="end"), step("undo", on_success="fail")]
    document = {"name": "w", "steps": steps}
    row = await play(process, instance, document, failed("Old."), completed())
    assert row["reason"] == "a: Old."
    await instances.resume(process.db, SYSTEM, instance)
    row = await play(process, instance, document, completed(), failed("New."))
    assert row["reason"] == "b: New."


async def test_a_step_that_was_given_the_beginning_of_an_output_says_so(
    process: EngineProcess, instance: int
) -> None:
    steps = [step("a"), step("b", command="grep x <<< {{step_a.stdout}}")]
    cut = HostFacts(host="h", stdout="be", exit_code=0, truncated={"stdout": 8192})
    answers = completed(facts=StepFacts(hosts=(cut,))), completed()
    await play(process, instance, {"name": "w", "steps": steps}, *answers)
    rows = await process.db.fetch("SELECT reason FROM step_results ORDER BY id")
    reasons = [row["reason"] for row in rows]
    assert "not the whole" not in reasons[0]
    assert reasons[1].startswith("{{step_a.stdout}} is not the whole: h printed more than 8 KiB to stdout")
