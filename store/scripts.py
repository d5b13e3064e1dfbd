"""Scripts: versioned text with declared parameters and linked libraries.

Running one is `store.executions`.
"""

from collections.abc import Iterable

from definitions.errors import Invalid
from definitions.permissions import Actor, may
from definitions.prepending import prepend
from definitions.script import Script
from store import identities, libraries, recurring_uses
from store.connection import Database, Row, Tx
from store.versioned import Versioned, VersionView


class ScriptView(VersionView[Script]):
    """A script at one version."""


async def _check(tx: Tx, new: Script, before: Script | None) -> None:
    """Refuse what no host could be given faithfully, rather than run something else, and a new name that
    recurring jobs would not find it by."""
    if before is not None and before.name != new.name:
        await recurring_uses.refuse_rename(tx, "script", before.name)
    problems = [] if new.run_as is None else await identities.unknown(tx, new.run_as, "/run_as")
    try:
        linked = await libraries.linked(tx, new)
    except Invalid as refused:
        raise Invalid(refused.message, [*refused.problems, *problems]) from None
    if problems:
        raise Invalid(f"The script {new.name!r} can't be saved. {problems[0].message}", problems)
    prepend(new.language, new.content, [each.library.content for each in linked])


async def _needed_by(tx: Tx, row: Row) -> list[str]:
    """The workflows, not archived, whose published version has a step that runs the script, and the recurring
    jobs that run it."""
    rows = await tx.fetch(
        """SELECT w.name FROM workflows w
           JOIN workflow_versions v ON v.workflow_id = w.id AND v.version = w.published_version
           WHERE w.archived_at IS NULL AND jsonb_path_exists(
               v.definition::jsonb, '$.** ? (@.type == "script" && @.script == $id)',
               jsonb_build_object('id', $1::bigint))
           ORDER BY w.name""",
        row["id"],
    )
    workflows = [f"the workflow {each['name']!r}" for each in rows]
    return workflows + await recurring_uses.users(tx, "script", row)


SCRIPTS = Versioned("script", "scripts", Script, ScriptView, check=_check, needed_by=_needed_by)

find, load_version, show, listing = SCRIPTS.find, SCRIPTS.load_version, SCRIPTS.show, SCRIPTS.listing
save, put, archive = SCRIPTS.save, SCRIPTS.put, SCRIPTS.archive
versions, diff, rollback = SCRIPTS.versions, SCRIPTS.diff, SCRIPTS.rollback


async def names(db: Database, actor: Actor, script_ids: Iterable[int]) -> dict[int, str]:
    """The names of these scripts by their ids; of none, for who may not view scripts."""
    if may(actor, "scripts.view") is not None:
        return {}
    rows = await db.fetch("SELECT id, name FROM scripts WHERE id = ANY ($1)", list(script_ids))
    return {row["id"]: row["name"] for row in rows}
