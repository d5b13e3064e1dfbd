"""What Prefect's resume dialog asks and says while an instance waits.

Only names, ids, counts and a gate's own title enter Prefect; its description may quote values.
"""

from prefect.input import RunInput

from definitions.harmless import markdown
from definitions.lifecycles.approval import ApprovalStatus
from flows.process import EngineProcess
from flows.suspend import GateForm, NoteForm
from store.engine import facts
from store.engine.situation import Situation
from tasks.step_run import Waiting


async def form_for(
    process: EngineProcess, situation: Situation, waits: list[Waiting]
) -> tuple[type[RunInput], str]:
    """The form of a gate if one is open, else the note; with its Markdown description."""
    link = f"{process.settings.public_url}/instances/{situation.instance_id}"
    if not any(wait.kind == "gate" for wait in waits):
        sentence = " ".join(markdown(wait.sentence) for wait in waits)
        return (
            NoteForm,
            f"{sentence} It goes on by itself; resuming only makes it look again. [Open in Opsgate]({link})",
        )
    hosts = await process.db.fetch(
        "SELECT name FROM hosts WHERE id = ANY($1) ORDER BY name", situation.host_ids
    )
    lines = []
    for request in dict.fromkeys(wait.request_id for wait in waits if wait.request_id is not None):
        gate = await facts.gate(process.db, request)
        if gate is None or gate.status != ApprovalStatus.PENDING:
            continue
        until = gate.deadline.isoformat(timespec="minutes") if gate.deadline else "no deadline"
        where = f"{process.settings.public_url}/approvals/{gate.request_id}"
        lines += [
            f"**{markdown(gate.title)}**",
            f"Until: {until}",
            f"Decide in Opsgate: [approval {gate.request_id}]({where}).",
        ]
    lines += [
        f"Workflow {markdown(situation.workflow.name)}, instance {situation.instance_id}, "
        f"started by {markdown(situation.started_by_name)}.",
        "Hosts: " + ", ".join(markdown(row["name"]) for row in hosts),
        "A resume that reaches Prefect without Opsgate's sign-in is no vote: the run suspends again.",
    ]
    return GateForm, "\n\n".join(line for line in lines if line)
