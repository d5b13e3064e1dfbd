"""Privileged identities: whose credential lies where, who may use it, versioned. Holds no credential.

While a published workflow checks an identity out, its name stays and it is not archived.
"""

from collections.abc import Iterator

from definitions.errors import Conflict, Invalid
from definitions.identity import Identity
from definitions.nearest import pointer_to
from definitions.problems import Problem
from definitions.quorum import shortfall
from store import people
from store.connection import Row, Tx
from store.references import listed
from store.versioned import Versioned, VersionView


class IdentityView(VersionView[Identity]):
    """An identity at one version."""


async def _check(tx: Tx, new: Identity, before: Identity | None) -> None:
    """Refuse what names a vault, a host or people that are not there."""
    problems = [*await _places(tx, new), *await _people(tx, new)]
    if problems:
        raise Invalid(f"The identity {new.name!r} can't be saved.", problems)
    if before is not None and before.name != new.name:
        users = await _workflows_using(tx, before.name)
        if users:
            raise Conflict(f"The identity {before.name!r} is named by {listed(users)}: its name stays.")


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
    return await _workflows_using(tx, row["name"])


async def _workflows_using(tx: Tx, name: str) -> list[str]:
    """The workflows, not archived, whose published version checks the identity out."""
    rows = await tx.fetch(
        """SELECT w.name FROM workflows w
           JOIN workflow_versions v ON v.workflow_id = w.id AND v.version = w.published_version
           WHERE w.archived_at IS NULL AND jsonb_path_exists(
               v.definition::jsonb, '$.** ? (@.type == "pam_checkout"
                   && (@.identity == $name || @.identity == $id))',
               jsonb_build_object('name', $1::text, 'id', (SELECT id FROM identities WHERE name = $1)))
           ORDER BY w.name""",
        name,
    )
    return [f"the workflow {row['name']!r}" for row in rows]


async def why_not_use(tx: Tx, identity: Identity, user_id: int) -> str | None:
    """None if this person may use the identity now; else why not."""
    refusal = await people.why_not_vote(tx, user_id)
    if refusal is not None or not identity.used_by:
        return refusal
    meant = await people.resolve(tx, identity.used_by)
    if any(user_id in each for each in meant.values()):
        return None
    return f"The identity {identity.name} is for {', '.join(identity.used_by)}."


async def mark_for_rotation(tx: Tx, identity_id: int, why: str) -> None:
    """Its credential was seen where it should not be, or may have been: it is due to be replaced. The first
    reason stays until it was."""
    await tx.execute(
        """UPDATE identities SET rotation_due_at = now(), rotation_reason = $2
           WHERE id = $1 AND rotation_due_at IS NULL""",
        identity_id,
        why,
    )


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)


IDENTITIES = Versioned(
    "identity", "identities", Identity, IdentityView, check=_check, needed_by=_needed_by, realm="pam_vaults"
)
