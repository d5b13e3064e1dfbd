"""Vaults and identities: who may see and change them, what one needs of the other, no secret in either."""

import json
from typing import Any

import pytest

from definitions.errors import Conflict, Invalid, NotPermitted
from definitions.identity import parse_identity
from definitions.permissions import SYSTEM
from definitions.vault import parse_vault
from store import identities
from store.identities import IDENTITIES
from store.vaults import VAULTS

AUTH = {"method": "token", "token": "file:/etc/opsgate/token"}
IDENTITY = {
    "name": "db_admin",
    "vault": "main",
    "source": "database_static",
    "path": "database/app",
    "username": "app",
}


async def save_vault(org: Any, **change: Any) -> int:
    document = {"name": "main", "address": "https://vault.example.org", "auth": AUTH, **change}
    vault, problems = parse_vault(document)
    assert vault is not None, problems
    return (await VAULTS.put(org.db, SYSTEM, vault))[0].id


async def save_identity(org: Any, ref: str | None = None, **change: Any) -> int:
    identity, problems = parse_identity({**IDENTITY, **change})
    assert identity is not None, problems
    if ref is not None:
        return (await IDENTITIES.save(org.db, SYSTEM, identity, ref)).id
    return (await IDENTITIES.put(org.db, SYSTEM, identity))[0].id


async def test_they_take_permissions_of_their_own(org: Any) -> None:
    await save_vault(org)
    await save_identity(org)
    for kind in (VAULTS, IDENTITIES):
        with pytest.raises(NotPermitted, match=r"lacks the permission pam_vaults\.view"):
            await kind.listing(org.db, org.ana)
        with pytest.raises(NotPermitted, match=r"lacks the permission pam_vaults\.manage"):
            await kind.archive(org.db, org.ana, 1)
        assert [row.version for row in (await kind.listing(org.db, SYSTEM)).items] == [1]


async def test_every_change_is_a_version_and_an_audit_row_without_what_is_secret(org: Any) -> None:
    vault_id = await save_vault(org)
    await save_vault(org, namespace="team")
    difference = await VAULTS.diff(org.db, SYSTEM, vault_id, 1, 2)
    assert '+  "namespace": "team"' in difference.settings
    rows = await org.db.fetch("SELECT action, detail FROM audit WHERE subject_kind = 'vault' ORDER BY id")
    assert [(row["action"], row["detail"]) for row in rows] == [
        ("vault.save", {"name": "main", "version": version}) for version in (1, 2)
    ]


async def test_an_identity_names_a_vault_a_host_and_people_that_are_there(org: Any) -> None:
    with pytest.raises(Invalid) as refused:
        await save_identity(
            org,
            host="nowhere",
            approval={"approvers": ["role:approver", "user:nobody"]},
            used_by=["role:none"],
        )
    assert {problem.pointer: problem.code for problem in refused.value.problems} == {
        "/vault": "unknown-vault",
        "/host": "unknown-host",
        "/approval/approvers/1": "unknown-approver",
        "/used_by/0": "unknown-approver",
    }
    await save_vault(org)
    with pytest.raises(Invalid) as few:
        await save_identity(org, approval={"approvers": ["user:bo"], "approval_type": "two_of_many"})
    assert [problem.code for problem in few.value.problems] == ["too-few-approvers"]


async def test_a_vault_that_identities_lie_in_stays_with_its_name(org: Any) -> None:
    await save_vault(org)
    await save_identity(org)
    with pytest.raises(Conflict, match="needed by the identity 'db_admin'"):
        await VAULTS.archive(org.db, SYSTEM, "main")
    renamed, _ = parse_vault({"name": "other", "address": "https://vault.example.org", "auth": AUTH})
    assert renamed is not None
    with pytest.raises(Conflict, match="its name stays"):
        await VAULTS.save(org.db, SYSTEM, renamed, "main")
    await IDENTITIES.archive(org.db, SYSTEM, "db_admin")
    await VAULTS.archive(org.db, SYSTEM, "main")
    with pytest.raises(Invalid, match="can't be saved"):
        await save_identity(org)


async def test_an_identity_that_a_published_workflow_checks_out_stays_with_its_name(org: Any) -> None:
    await save_vault(org)
    await save_identity(org)
    number = await org.publish([{"id": "w", "type": "delay", "seconds": 1}])
    for identity in ("db_admin", 1):
        definition = {"steps": [{"id": "c", "type": "pam_checkout", "identity": identity}]}
        await org.db.execute(
            "UPDATE workflow_versions SET definition = $1 WHERE workflow_id = $2", definition, number
        )
        with pytest.raises(Conflict, match="needed by the workflow 'deploy'"):
            await IDENTITIES.archive(org.db, SYSTEM, "db_admin")
    with pytest.raises(Conflict, match="its name stays"):
        await save_identity(org, "db_admin", name="db_owner")


async def test_a_version_from_before_a_rule_does_not_come_back(org: Any) -> None:
    await save_vault(org)
    account = {"source": "kv_password", "path": "secret/web", "host": "web-1", "rotate_after_use": True}
    await save_identity(org, **account)
    await org.db.execute(
        """INSERT INTO identity_versions (identity_id, version, definition)
           SELECT identity_id, 2, definition || '{"domain": "CORP"}' FROM identity_versions"""
    )
    with pytest.raises(Invalid) as refused:
        await IDENTITIES.rollback(org.db, SYSTEM, "db_admin", 2)
    assert [problem.pointer for problem in refused.value.problems] == ["/rotate_after_use"]


async def test_who_may_use_an_identity_is_asked_when_it_is_used(org: Any) -> None:
    await save_vault(org)
    await save_identity(org, used_by=["user:bo"])
    async with org.db.transaction() as tx:
        identity = await IDENTITIES.load_version(tx, 1, 1)
        assert await identities.why_not_use(tx, identity, org.bo.id) is None
        assert "is for user:bo" in str(await identities.why_not_use(tx, identity, org.cy.id))
        anybody = identity.model_copy(update={"used_by": ()})
        assert await identities.why_not_use(tx, anybody, org.cy.id) is None
        assert "lacks the permission" in str(await identities.why_not_use(tx, anybody, org.vi.id))


async def test_nothing_secret_can_be_written_into_a_vault(org: Any) -> None:
    await save_vault(org)
    kept = await org.db.fetchval("SELECT definition FROM vault_versions")
    assert json.dumps(kept).count("file:/etc/opsgate/token") == 1
    refused, problems = parse_vault({"name": "v", "address": "https://v", "auth": {**AUTH, "token": "hvs.x"}})
    assert refused is None
    assert "hvs.x" not in str(problems)
