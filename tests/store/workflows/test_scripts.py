"""Scripts: versions, going back, archiving."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from definitions.errors import Conflict, Invalid, NotFound, NotPermitted
from definitions.permissions import SYSTEM
from definitions.script import Script
from store import executions, scripts, workflows
from store.identities import IDENTITIES
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault

SaveScript = Callable[..., Awaitable[int]]


async def test_a_change_is_a_new_version_and_the_old_one_stays(org: Any, disk_check: Script) -> None:
    first = await scripts.save(org.db, org.ana, disk_check)
    changed = disk_check.model_copy(update={"content": "df -i"})
    second = await scripts.save(org.db, org.ana, changed, "disk-check")
    assert (first.version, second.version, second.id) == (1, 2, first.id)
    assert await scripts.load_version(org.db, first.id, 1) == disk_check
    assert await scripts.load_version(org.db, first.id, 2) == changed


async def test_saving_the_same_again_keeps_the_version(org: Any, disk_check: Script) -> None:
    await scripts.save(org.db, org.ana, disk_check)
    view, changed = await scripts.put(org.db, org.ana, disk_check)
    assert (view.version, changed) == (1, False)


async def test_put_says_when_it_changed_something(org: Any, disk_check: Script) -> None:
    assert (await scripts.put(org.db, org.ana, disk_check))[1]
    view, changed = await scripts.put(org.db, org.ana, disk_check.model_copy(update={"timeout_seconds": 5}))
    assert (view.version, changed) == (2, True)


async def test_two_scripts_never_share_a_name(org: Any, disk_check: Script) -> None:
    await scripts.save(org.db, org.ana, disk_check)
    other = await scripts.save(org.db, org.ana, disk_check.model_copy(update={"name": "other"}))
    with pytest.raises(Conflict):
        await scripts.save(org.db, org.ana, disk_check)
    with pytest.raises(Conflict):
        await scripts.save(org.db, org.ana, disk_check, other.id)


async def test_a_script_runs_as_an_identity_that_is_there_and_stays(org: Any, disk_check: Script) -> None:
    as_admin = disk_check.model_copy(update={"run_as": "db_admin", "libraries": ("none",)})
    with pytest.raises(Invalid) as refused:
        await scripts.save(org.db, org.ana, as_admin)
    assert [(each.pointer, each.code) for each in refused.value.problems] == [
        ("/libraries/0", "unknown-library"),
        ("/run_as", "unknown-identity"),
    ]
    await save_vault(org)
    await save_identity(org)
    as_admin = disk_check.model_copy(update={"run_as": "db_admin"})
    assert (await scripts.save(org.db, org.ana, as_admin)).definition.run_as == "db_admin"
    with pytest.raises(Conflict, match="needed by the script 'disk-check'"):
        await IDENTITIES.archive(org.db, SYSTEM, "db_admin")
    await scripts.save(org.db, org.ana, disk_check, "disk-check")
    await IDENTITIES.archive(org.db, SYSTEM, "db_admin")
    with pytest.raises(Invalid, match="Archived is the identity"):
        await scripts.rollback(org.db, org.ana, "disk-check", 1)


async def test_going_back_saves_the_old_content_as_the_newest(org: Any, save_script: SaveScript) -> None:
    script_id = await save_script()
    await save_script(content="df -i", timeout_seconds=9)
    difference = await scripts.diff(org.db, org.vi, script_id, 1, 2)
    assert "-df -h\n+df -i" in difference.content
    assert '+  "timeout_seconds": 9' in difference.settings
    view = await scripts.rollback(org.db, org.ana, script_id, 1)
    assert (view.version, view.definition.content) == (3, "df -h")
    assert [row.version for row in (await scripts.versions(org.db, org.vi, script_id)).items] == [3, 2, 1]


async def test_an_archived_script_is_hidden_and_not_run(org: Any, save_script: SaveScript) -> None:
    script_id = await save_script()
    await scripts.archive(org.db, org.ana, script_id)
    assert (await scripts.listing(org.db, org.vi)).items == []
    with pytest.raises(Conflict, match="archived"):
        await executions.execute(org.db, org.ana, script_id, ["web-1"], {})
    await save_script()
    assert [row.id for row in (await scripts.listing(org.db, org.vi)).items] == [script_id]


async def test_it_is_audited_that_a_script_came_back_from_the_archive_and_what_else_became_of_it(
    org: Any, save_script: SaveScript, disk_check: Script
) -> None:
    script_id = await save_script()

    async def audited(change: Awaitable[Any]) -> list[str]:
        """What a change of the archived script is audited as."""
        await scripts.archive(org.db, org.ana, script_id)
        last = await org.db.fetchval("SELECT max(id) FROM audit")
        await change
        rows = await org.db.fetch("SELECT action FROM audit WHERE id > $1 ORDER BY id", last)
        return [row["action"] for row in rows]

    changed = disk_check.model_copy(update={"content": "df -i"})
    renamed = changed.model_copy(update={"name": "disks"})
    assert await audited(scripts.save(org.db, org.ana, disk_check, script_id)) == ["script.restore"]
    assert await audited(scripts.put(org.db, org.ana, disk_check)) == ["script.restore"]
    assert await audited(scripts.save(org.db, org.ana, changed, script_id)) == [
        "script.restore",
        "script.save",
    ]
    assert await audited(scripts.rollback(org.db, org.ana, script_id, 2)) == ["script.restore"]
    assert await audited(scripts.save(org.db, org.ana, renamed, script_id)) == [
        "script.restore",
        "script.rename",
    ]


async def test_the_name_of_an_archived_script_is_taken_and_it_is_said_how_to_bring_it_back(
    org: Any, save_script: SaveScript, disk_check: Script
) -> None:
    await scripts.archive(org.db, org.ana, await save_script())
    other = await save_script(name="other")
    for again in (
        scripts.save(org.db, org.ana, disk_check),
        scripts.save(org.db, org.ana, disk_check, other),
    ):
        with pytest.raises(Conflict, match=r"in the archive: save it by its name \(PUT /api/v1/scripts/by"):
            await again
    assert not (await scripts.put(org.db, org.ana, disk_check))[0].archived


async def test_a_script_is_not_archived_while_a_published_workflow_runs_it(
    org: Any, save_script: SaveScript
) -> None:
    script_id = await save_script()
    step = {"id": "check", "type": "script", "script": script_id}
    plain = await org.publish([step], name="plain")
    branches = [{"name": "a", "steps": [step]}]
    await org.publish_unproved([{"id": "both", "type": "parallel", "branches": branches}], name="branched")
    with pytest.raises(Conflict, match="needed by the workflow 'branched', the workflow 'plain'"):
        await scripts.archive(org.db, org.ana, script_id)
    await workflows.archive(org.db, org.ana, plain)
    with pytest.raises(Conflict, match="needed by the workflow 'branched'"):
        await scripts.archive(org.db, org.ana, script_id)
    await workflows.archive(org.db, org.ana, "branched")
    await scripts.archive(org.db, org.ana, script_id)
    assert (await scripts.show(org.db, org.vi, script_id)).archived


async def test_a_draft_or_an_older_version_keeps_no_script_from_being_archived(
    org: Any, save_script: SaveScript
) -> None:
    script_id = await save_script()
    steps = [{"id": "check", "type": "script", "script": script_id}]
    await org.publish(steps)
    await org.publish([{"id": "wait", "type": "delay", "seconds": 1}])
    await workflows.save_draft(org.db, org.ana, {"name": "drafted", "steps": steps})
    await scripts.archive(org.db, org.ana, script_id)


async def test_a_change_of_line_ends_alone_is_seen_as_one(org: Any, save_script: SaveScript) -> None:
    script_id = await save_script(content="a\nb")
    await save_script(content="a\r\nb")
    assert "-a\n+a\r\n" in (await scripts.diff(org.db, org.vi, script_id, 1, 2)).content


async def test_a_viewer_changes_and_runs_nothing(
    org: Any, disk_check: Script, save_script: SaveScript
) -> None:
    await save_script()
    for refused in (
        scripts.save(org.db, org.vi, disk_check),
        scripts.put(org.db, org.vi, disk_check),
        scripts.archive(org.db, org.vi, "disk-check"),
        executions.execute(org.db, org.vi, "disk-check", ["web-1"], {}),
        scripts.rollback(org.db, org.vi, "disk-check", 1),
    ):
        with pytest.raises(NotPermitted):
            await refused


async def test_a_version_that_is_not_there_is_not_found(org: Any, save_script: SaveScript) -> None:
    await save_script()
    with pytest.raises(NotFound, match="version 7"):
        await scripts.show(org.db, org.vi, "disk-check", 7)
