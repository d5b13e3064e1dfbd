"""What Prefect's resume dialog asks and says while an instance waits.

Only names, ids, counts and a gate's own title enter Prefect; its description may quote values.
"""

from prefect.input import RunInput

from flows.process import EngineProcess
from flows.suspend import GateForm, NoteForm
from store.engine import facts
from store.engine.situation import Situation
from tasks.step_run import Waiting

_ESCAPED = str.maketrans({character: "\\" + character for character in "\\`*_{}[]<>()#+!|~"})


def _plain(text: str) -> str:
    """Text of a user's, shown in Markdown as it is."""
    return " ".join(text.translate(_ESCAPED).split())


async def form_for(
    process: EngineProcess, situation: Situation, waits: list[Waiting]
) -> tuple[type[RunInput], str]:
    """The form of a gate if one is open, else the note; with its Markdown description."""
    gate = next((wait for wait in waits if wait.kind == "gate"), None)
    link = f"{process.settings.public_url}/instances/{situation.instance_id}"
    if gate is None:
        sentence = " ".join(_plain(wait.sentence) for wait in waits)
        return (
            NoteForm,
            f"{sentence} It goes on by itself; resuming only makes it look again. [Open in Opsgate]({link})",
        )
    hosts = await process.db.fetch(
        "SELECT name FROM hosts WHERE id = ANY($1) ORDER BY name", situation.host_ids
    )
    open_gates = [
        found
        for active in situation.frontier
        if (found := await facts.gate_of_step(process.db, situation.instance_id, active)) is not None
    ]
    lines = []
    where = f"{process.settings.public_url}/approvals/{gate.request_id}"
    for found in open_gates:
        until = found.deadline.isoformat(timespec="minutes") if found.deadline else "no deadline"
        lines += [f"**{_plain(found.title)}**", f"Until: {until}"]
    lines += [
        f"Workflow {_plain(situation.workflow.name)}, instance {situation.instance_id}, "
        f"started by {_plain(situation.started_by_name)}.",
        "Hosts: " + ", ".join(_plain(row["name"]) for row in hosts),
        f"Decide in Opsgate: [approval {gate.request_id}]({where}). "
        "A resume that reaches Prefect without Opsgate's sign-in is no vote: the run suspends again.",
    ]
    return GateForm, "\n\n".join(line for line in lines if line)
