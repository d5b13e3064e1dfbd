"""What a new installation needs before anyone can sign in: schema, roles, people, a CLI profile.

Runs at every start and only adds what is missing. Passwords made here are returned once, to be
printed; the second person's is also kept in a secret file, because the demo votes as that person.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from definitions.errors import NotFound
from definitions.permissions import SYSTEM
from definitions.vault import Vault
from deployments.cli import profile
from deployments.stack.data_folder import DataFolder
from store import tokens, users
from store.connection import Database
from store.migrate import migrate
from store.vaults import VAULTS

ADMIN = "admin"
SECOND_PERSON = "bob"
SECOND_PROFILE = f"{SECOND_PERSON}.json"
SECOND_PASSWORD = f"password-of-{SECOND_PERSON}"


@dataclass(frozen=True)
class Welcome:
    """Passwords that exist since just now; None: the person existed before."""

    admin_password: str | None = None
    second_password: str | None = None


async def prepare(
    database_url: str, folder: DataFolder, public_url: str, *, second_person: bool, vault: Vault | None = None
) -> Welcome:
    """Bring the installation to where people can use it."""
    await migrate(database_url)
    db = await Database.connect(database_url, max_size=2, name="opsgate-first-start")
    try:
        await users.bootstrap(db)
        admin_password = await _person(db, ADMIN, "admin")
        second_password = await _person(db, SECOND_PERSON, "approver") if second_person else None
        if second_password is not None:
            folder.keep_secret(SECOND_PASSWORD, second_password)
        if vault is not None:
            await _vault(db, vault)
        await _profile(db, ADMIN, folder.path / profile.NAME, public_url)
        if second_person:
            await _profile(db, SECOND_PERSON, folder.path / SECOND_PROFILE, public_url)
    finally:
        await db.close()
    return Welcome(admin_password, second_password)


async def _person(db: Database, name: str, role: str) -> str | None:
    """Create the person unless there; returns the new password."""
    try:
        await users.find(db, name)
    except NotFound:
        password = secrets.token_urlsafe(12)
        await users.create(db, SYSTEM, name, None, password, [role])
        return password
    return None


async def _vault(db: Database, vault: Vault) -> None:
    """The stack's own vault, at the address it has now; one that people have archived stays so."""
    archived = await db.fetchval("SELECT archived_at FROM vaults WHERE name = $1", vault.name)
    if archived is None:
        await VAULTS.put(db, SYSTEM, vault)


async def _profile(db: Database, person: str, path: Path, public_url: str) -> None:
    """A token of this person for the command line beside this stack; a new one if it is not good."""
    kept = profile.read(path)
    if kept is None or not await _is_good(db, kept.token):
        user_id = await users.find(db, person)
        made = await tokens.create(db, SYSTEM, "command line", user_id)
        kept = profile.Profile(public_url, made.token)
    profile.keep(profile.Profile(public_url, kept.token), path)


async def _is_good(db: Database, token: str) -> bool:
    from definitions.errors import NotAuthenticated

    try:
        await tokens.actor(db, token)
    except NotAuthenticated:
        return False
    return True
