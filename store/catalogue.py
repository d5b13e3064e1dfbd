"""What exists, for the proof of a workflow: scripts, hosts, identities, and the people its gates name.

Only reads. What instances may not use any more (what is archived, decommissioned hosts) is left out.
"""

from dataclasses import replace

from definitions.catalogue import ENGINE, IdentityFacts
from definitions.identity import Identity
from definitions.parameters import Parameter
from definitions.permissions import Actor, may
from definitions.proof import Catalogue, ScriptFacts
from definitions.steps import ApprovalStep
from definitions.workflow import Workflow, all_steps
from store import people, targets
from store.connection import Database, Tx

_FLEET = f"decommissioned_at IS NULL AND name <> '{ENGINE}'"


async def load(tx: Tx | Database, workflow: Workflow | None = None) -> Catalogue:
    """The catalogue; people are those the workflow refers to (no workflow: not known)."""
    return Catalogue(
        scripts=await _scripts(tx),
        hosts=await _hosts(tx),
        people=None if workflow is None else await people.resolve(tx, approvers(workflow)),
        identities=await _identities(tx),
    )


def seen_by(actor: Actor, known: Catalogue) -> Catalogue:
    """The same without what the actor may not view: a problem's words name what there is."""
    return replace(
        known,
        scripts=None if may(actor, "scripts.view") else known.scripts,
        hosts=None if may(actor, "hosts.view") else known.hosts,
        identities=None if may(actor, "pam_vaults.view") else known.identities,
    )


def approvers(workflow: Workflow) -> set[str]:
    """Every approver reference of a workflow."""
    steps = all_steps(workflow.steps)
    return {name for step in steps if isinstance(step, ApprovalStep) for name in step.approvers}


async def _scripts(tx: Tx | Database) -> tuple[ScriptFacts, ...]:
    rows = await tx.fetch(
        """SELECT s.id, s.name, v.definition ->> 'language' AS language,
                  v.definition -> 'parameters' AS parameters
           FROM scripts s JOIN script_versions v ON v.script_id = s.id AND v.version = s.version
           WHERE s.archived_at IS NULL"""
    )
    return tuple(
        ScriptFacts(
            row["id"],
            row["name"],
            tuple(Parameter.model_validate(parameter) for parameter in row["parameters"]),
            row["language"],
        )
        for row in rows
    )


async def _identities(tx: Tx | Database) -> tuple[IdentityFacts, ...]:
    rows = await tx.fetch(
        """SELECT i.id, i.name, v.definition FROM identities i
           JOIN identity_versions v ON v.identity_id = i.id AND v.version = i.version
           WHERE i.archived_at IS NULL"""
    )
    return tuple(IdentityFacts.of(row["id"], Identity(name=row["name"], **row["definition"])) for row in rows)


async def _hosts(tx: Tx | Database) -> frozenset[str]:
    """Names, ids as text, `tag:x` and `group:x`, and `@engine` where it is allowed: what a step may say."""
    known = {ENGINE} if await targets.engine_runs_steps(tx) else set[str]()
    for row in await tx.fetch(f"SELECT id, name, tags, groups FROM hosts WHERE {_FLEET}"):
        known |= {row["name"], str(row["id"])}
        known |= {f"tag:{tag}" for tag in row["tags"]} | {f"group:{group}" for group in row["groups"]}
    return frozenset(known)
