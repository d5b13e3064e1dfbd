"""Privileged identities: whose credential lies where, who may use it, versioned. Holds no credential.

While a published workflow checks an identity out, or a script runs as it, its name stays and it is not
archived. That its credential is due to be replaced is marked here; how that goes on is `store.rotations`.
"""

from collections.abc import Iterator
from datetime import datetime

from definitions.errors import Conflict, Invalid
from definitions.identity import Identity, parse_identity
from definitions.nearest import pointer_to
from definitions.permissions import SYSTEM, Actor
from definitions.problems import Problem
from definitions.quorum import shortfall
from store import audit, people
from store.connection import Row, Tx
from store.references import listed
from store.versioned import Versioned, VersionView


class IdentityView(VersionView[Identity]):
    """An identity at one version, and how its credential stands now."""

    rotated_at: datetime | None
    """When Opsgate has last had its credential replaced."""
    rotation_due_at: datetime | None
    """Since when it is to be replaced; until it is, nobody else gets it."""
    rotation_reason: str | None
    rotation_error: str
    """Why the last try failed; empty after one that did not."""
    quarantined_at: datetime | None
    """Since when nobody may check it out, because its credential could not be replaced."""
    quarantine_reason: str | None


async def _check(tx: Tx, new: Identity, before: Identity | None) -> None:
    """Refuse what names a vault, a host or people that are not there, and what an older version could say."""
    problems = [*parse_identity(new.document())[1], *await _places(tx, new), *await _people(tx, new)]
    if problems:
        raise Invalid(f"The identity {new.name!r} can't be saved.", problems)
    if before is not None and before.name != new.name:
        users = await _users_of(tx, before.name)
        if users:
            raise Conflict(f"The identity {before.name!r} is named by {listed(users)}: its name stays.")
    if before is not None:
        await _refuse_a_move(tx, new, before)


async def _refuse_a_move(tx: Tx, new: Identity, before: Identity) -> None:
    """What a job has set, or is to set, on one host would be noted as the password of another account."""
    moved = new.moved_from(before)
    job = await tx.fetchrow(
        """SELECT j.id, h.name AS host FROM identities i JOIN jobs j ON j.id = i.rotation_job_id
           JOIN hosts h ON h.id = j.host_id WHERE i.name = $1""",
        before.name,
    )
    if moved and job is not None:
        raise Conflict(
            f"The identity {before.name!r} is being rotated, by job {job['id']} on {job['host']}: "
            f"{listed([f'`{name}`' for name in moved])} can't change before that is done. Wait for it; or "
            "cancel the job, or delete it if it has ended, and the rotation begins anew."
        )


async def _places(tx: Tx, new: Identity) -> list[Problem]:
    problems = []
    # Locked, so that it is not archived meanwhile.
    vault = await tx.fetchrow("SELECT archived_at FROM vaults WHERE name = $1 FOR SHARE", new.vault)
    if vault is None or vault["archived_at"] is not None:
        state = "There is no vault" if vault is None else "Archived is the vault"
        fix = "Save the vault first, or name another."
        problems.append(_problem("/vault", "unknown-vault", f"{state} {new.vault!r}.", fix))
    known = new.host is None or await tx.fetchval(
        "SELECT EXISTS (SELECT FROM hosts WHERE name = $1 AND decommissioned_at IS NULL)", new.host
    )
    if not known:
        message = f"There is no host {new.host!r}."
        problems.append(_problem("/host", "unknown-host", message, "Name a host that is enrolled."))
    return problems


async def _people(tx: Tx, new: Identity) -> list[Problem]:
    approvers = new.approval.approvers if new.approval else ()
    found = await people.resolve(tx, {*approvers, *new.used_by})

    def unknown(place: str, references: tuple[str, ...]) -> Iterator[Problem]:
        for index, reference in enumerate(references):
            if reference not in found:
                message, fix = (
                    f"Nobody is meant by {reference!r}.",
                    "Name a role or a person there is.",
                )
                yield _problem(pointer_to(place, index), "unknown-approver", message, fix)

    problems = [*unknown("/approval/approvers", approvers), *unknown("/used_by", new.used_by)]
    if new.approval and not problems:
        eligible: set[int] = set().union(*(found[reference] for reference in approvers))
        refusal = shortfall(new.approval.approval_type, len(eligible))
        if refusal is not None:
            fix = "Name others, or another `approval_type`."
            problems.append(_problem("/approval/approvers", "too-few-approvers", refusal, fix))
    return problems


async def _needed_by(tx: Tx, row: Row) -> list[str]:
    return await _users_of(tx, row["name"])


async def _users_of(tx: Tx, name: str) -> list[str]:
    """The workflows, not archived, whose published version checks the identity out, and the scripts, not
    archived, whose newest version runs as it. The caller has locked its row, and saving a script locks the
    identity it names: none is added meanwhile."""
    scripts = await tx.fetch(
        """SELECT s.name FROM scripts s JOIN script_versions v ON v.script_id = s.id AND v.version = s.version
           WHERE s.archived_at IS NULL AND v.definition ->> 'run_as' = $1 ORDER BY s.name""",
        name,
    )
    workflows = await tx.fetch(
        """SELECT w.name FROM workflows w
           JOIN workflow_versions v ON v.workflow_id = w.id AND v.version = w.published_version
           WHERE w.archived_at IS NULL AND jsonb_path_exists(
               v.definition::jsonb, '$.** ? (@.type == "pam_checkout"
                   && (@.identity == $name || @.identity == $id))',
               jsonb_build_object('name', $1::text, 'id', (SELECT id FROM identities WHERE name = $1)))
           ORDER BY w.name""",
        name,
    )
    return [f"the workflow {row['name']!r}" for row in workflows] + [
        f"the script {row['name']!r}" for row in scripts
    ]


async def unknown(tx: Tx, name: str, pointer: str) -> list[Problem]:
    """What is wrong with naming an identity, if it is not there or archived; it is locked against that
    until the end of the transaction."""
    row = await tx.fetchrow("SELECT archived_at FROM identities WHERE name = $1 FOR SHARE", name)
    if row is not None and row["archived_at"] is None:
        return []
    state = "There is no identity" if row is None else "Archived is the identity"
    fix = "Save the identity first, or name another."
    return [_problem(pointer, "unknown-identity", f"{state} {name!r}.", fix)]


async def why_not_use(tx: Tx, identity: Identity, user_id: int) -> str | None:
    """None if this person may use the identity now; else why not."""
    refusal = await people.why_not_vote(tx, user_id)
    if refusal is not None or not identity.used_by:
        return refusal
    meant = await people.resolve(tx, identity.used_by)
    if any(user_id in each for each in meant.values()):
        return None
    return f"The identity {identity.name} is for {', '.join(identity.used_by)}."


async def mark_for_rotation(tx: Tx, identity_id: int, why: str, actor: Actor = SYSTEM) -> bool:
    """Have its credential replaced as soon as nobody holds it. A mark that stands already stays, with its
    reason; False if Opsgate can't have it replaced."""
    row = await tx.fetchrow(
        "SELECT name, version, rotation_due_at FROM identities WHERE id = $1 FOR UPDATE", identity_id
    )
    assert row is not None
    identity = await IDENTITIES.load_version(tx, identity_id, row["version"])
    if identity.why_not_rotated is not None:
        return False
    if row["rotation_due_at"] is None:
        await tx.execute(
            """UPDATE identities SET rotation_due_at = clock_timestamp(), rotation_reason = $2,
                   rotation_not_before = now(), rotation_failures = 0
               WHERE id = $1""",
            identity_id,
            why,
        )
        await audit.record(
            tx, actor, "identity.rotation_due", "identity", identity_id, name=row["name"], why=why
        )
    return True


async def why_quarantined(tx: Tx, identity_id: int) -> str | None:
    """None if the identity may be checked out, else a sentence that says why nobody may."""
    row = await tx.fetchrow("SELECT name, quarantine_reason FROM identities WHERE id = $1", identity_id)
    if row is None or row["quarantine_reason"] is None:
        return None
    return (
        f"The identity {row['name']} is quarantined until it is rotated, for its credential could not be "
        f"replaced: {row['quarantine_reason']}"
    )


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)


IDENTITIES = Versioned(
    "identity",
    "identities",
    Identity,
    IdentityView,
    check=_check,
    needed_by=_needed_by,
    realm="pam_vaults",
    facts=(
        "rotated_at",
        "rotation_due_at",
        "rotation_reason",
        "rotation_error",
        "quarantined_at",
        "quarantine_reason",
    ),
)
