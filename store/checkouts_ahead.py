"""What an instance will check out, looked at before it starts or goes on: it begins nothing that it could not
end. Checks nothing out and asks nobody.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from definitions.errors import Conflict, NotFound
from definitions.steps import PamCheckoutStep, ScriptStep, Step
from store import approvals, checkout_requests, checkouts
from store.askers import Asker
from store.connection import Tx


async def confirm(tx: Tx, steps: Iterable[Step], pinned: Mapping[str, int], asker: Asker) -> None:
    """Refuse steps that could not check out what they want, or what their scripts run as, in the name of
    who asks: `NotPermitted` if it is not for them; `Conflict` if it is not there, or nobody could approve it.
    `pinned`: the version of each script, by its id."""
    steps = [*steps]
    for what, identity in _wanted(steps, await _run_as(tx, steps, pinned)):
        try:
            found = await checkouts.offered(tx, identity, asker.person)
        except NotFound as missing:
            raise Conflict(f"{what} what is not there. {missing.message}") from missing
        if found.requires_approval and found.approval is not None:
            await approvals.electorate(tx, found.approval, asker.people, checkout_requests.at(found))


def _wanted(steps: Sequence[Step], run_as: Mapping[int | str, str]) -> Iterator[tuple[str, int | str]]:
    """Which identities, and by what."""
    for step in steps:
        if isinstance(step, PamCheckoutStep):
            yield f"Step {step.id!r} checks out", step.identity
        elif isinstance(step, ScriptStep) and step.run_as is None and step.script in run_as:
            yield f"The script of step {step.id!r} runs as", run_as[step.script]


async def _run_as(tx: Tx, steps: Sequence[Step], pinned: Mapping[str, int]) -> dict[int | str, str]:
    """The identities that scripts of the steps run as at their versions."""
    found = [step.script for step in steps if isinstance(step, ScriptStep) and str(step.script) in pinned]
    if not found:
        return {}
    rows = await tx.fetch(
        """SELECT v.script_id, v.definition ->> 'run_as' AS identity FROM script_versions v
           JOIN unnest($1::bigint[], $2::int[]) AS pinned (script_id, version) USING (script_id, version)
           WHERE v.definition ->> 'run_as' IS NOT NULL""",
        [int(script) for script in found],
        [pinned[str(script)] for script in found],
    )
    return {row["script_id"]: row["identity"] for row in rows}
