"""The keeper's part in decisions: an artifact beside the instance's run in Prefect for each.

It tells of what was decided and decides nothing: the run has gone on already. Names, counts, moments and
the gate's own title enter Prefect; what people wrote beside their votes does not.
"""

from datetime import datetime

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.exceptions import ObjectNotFound

from definitions.errors import Unavailable
from definitions.harmless import markdown
from flows import prefect_runs
from flows.process import EngineProcess
from store import outbox
from store.engine import decisions
from store.engine.decisions import Decided

_SAID = {"approve": "yes", "reject": "no"}


async def round_of(process: EngineProcess, client: PrefectClient) -> int:
    """Show the decisions Prefect does not know yet; returns how many were tried."""
    errands = await outbox.due(process.db, "show_decision")
    for tried, errand in enumerate(errands, 1):
        try:
            decided = await decisions.read(process.db, errand.payload["request_id"])
            if decided is not None:
                await show(client, decided, process.settings.public_url)
        except Exception as error:
            await outbox.postpone(process.db, errand, repr(error))
            if prefect_runs.is_away(error):
                return tried
        else:
            await outbox.done(process.db, errand)
    return len(errands)


async def show(client: PrefectClient, decided: Decided, public_url: str) -> None:
    """Make the artifact unless it is there; `Unavailable` while the instance has no run to show it at."""
    key = f"approval-{decided.request_id}"
    if decided.flow_run_id is None or not await _is_there(client, decided):
        if decided.instance_ended:
            return
        raise Unavailable("The instance's run is gone, and its next one is not there yet.")
    same = ArtifactFilter(
        key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[decided.flow_run_id])
    )
    if await client.read_artifacts(artifact_filter=same, limit=1):
        return
    await client.create_artifact(
        ArtifactCreate(
            key=key,
            type="markdown",
            description=f"{decided.status.capitalize()}: {markdown(decided.title)}",
            data=text(decided, public_url),
            flow_run_id=decided.flow_run_id,
        )
    )


async def _is_there(client: PrefectClient, decided: Decided) -> bool:
    """Whether Prefect has the run still: to one that was deleted it would add without a word."""
    assert decided.flow_run_id is not None
    try:
        await client.read_flow_run(decided.flow_run_id)
    except ObjectNotFound:
        return False
    return True


def text(decided: Decided, public_url: str) -> str:
    """The artifact: what was decided and how, who voted what and when, where the rest stands. Markdown."""
    place = f"approval {decided.request_id} in Opsgate"
    if public_url:
        place = f"[{place}]({public_url.rstrip('/')}/approvals/{decided.request_id})"
    table = ["| Who | Said | When |", "|---|---|---|"]
    table += [
        f"| {markdown(vote.name)} | {_SAID[vote.decision]} | {_at(vote.at)} |" for vote in decided.votes
    ]
    parts = [
        f"**{markdown(decided.title)}**",
        f"{markdown(decided.sentence)} Decided at {_at(decided.decided_at)}.",
        "\n".join(table) if decided.votes else "Nobody voted.",
        f"Step {markdown(decided.step_id)} of workflow {markdown(decided.workflow_name)}, "
        f"instance {decided.instance_id}. What was asked, and what people wrote: {place}.",
    ]
    return "\n\n".join(parts)


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
