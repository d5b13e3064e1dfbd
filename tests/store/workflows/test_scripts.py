"""Scripts: versions, and running one by hand."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from definitions.errors import Conflict, Invalid, NotFound, NotPermitted
from definitions.script import Script
from store import script_versions, scripts

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


async def test_what_no_host_could_be_given_yet_is_refused(org: Any, disk_check: Script) -> None:
    for field in ({"libraries": ["lib"]}, {"run_as": "db_admin"}):
        with pytest.raises(Invalid) as refused:
            await scripts.save(org.db, org.ana, disk_check.model_copy(update=field))
        assert [problem.code for problem in refused.value.problems] == ["not-available-yet"]


async def test_running_one_makes_a_job_a_host_with_its_values_as_data(
    org: Any, save_script: SaveScript
) -> None:
    script_id = await save_script()
    made = await scripts.execute(
        org.db, org.ana, "disk-check", ["web-1", "web-2", "web-1"], {"threshold": 80}
    )
    rows = await org.db.fetch("SELECT * FROM jobs ORDER BY id")
    assert [row["id"] for row in rows] == made
    assert [row["host_id"] for row in rows] == list(org.hosts)
    assert {(row["script_id"], row["script_version"], row["created_by_name"]) for row in rows} == {
        (script_id, 1, "ana")
    }
    assert rows[0]["payload"]["content"] == "df -h"
    assert rows[0]["payload"]["environment"] == {"PARAM_THRESHOLD": "80"}
    listed = await script_versions.executions(org.db, org.vi, script_id)
    assert [(job.id, job.host) for job in listed.items] == [(made[1], "web-2"), (made[0], "web-1")]


async def test_a_run_that_makes_no_sense_makes_no_job(org: Any, save_script: SaveScript) -> None:
    await save_script()
    nonsense: list[tuple[list[str], dict[str, Any]]] = [
        ([], {}),
        (["nowhere"], {}),
        (["web-1"], {"threshold": "many"}),
        (["web-1"], {"x": 1}),
    ]
    for hosts, parameters in nonsense:
        with pytest.raises(Invalid):
            await scripts.execute(org.db, org.ana, "disk-check", hosts, parameters)
    assert await org.db.fetchval("SELECT count(*) FROM jobs") == 0


async def test_going_back_saves_the_old_content_as_the_newest(org: Any, save_script: SaveScript) -> None:
    script_id = await save_script()
    await save_script(content="df -i", timeout_seconds=9)
    difference = await script_versions.diff(org.db, org.vi, script_id, 1, 2)
    assert "-df -h\n+df -i" in difference.content
    assert '+  "timeout_seconds": 9' in difference.settings
    view = await script_versions.rollback(org.db, org.ana, script_id, 1)
    assert (view.version, view.definition.content) == (3, "df -h")
    assert [row.version for row in await script_versions.versions(org.db, org.vi, script_id)] == [3, 2, 1]


async def test_an_archived_script_is_hidden_and_not_run(org: Any, save_script: SaveScript) -> None:
    script_id = await save_script()
    await scripts.archive(org.db, org.ana, script_id)
    assert (await scripts.listing(org.db, org.vi)).items == []
    with pytest.raises(Conflict, match="archived"):
        await scripts.execute(org.db, org.ana, script_id, ["web-1"], {})
    await save_script()
    assert [row.id for row in (await scripts.listing(org.db, org.vi)).items] == [script_id]


async def test_a_viewer_changes_and_runs_nothing(
    org: Any, disk_check: Script, save_script: SaveScript
) -> None:
    await save_script()
    for refused in (
        scripts.save(org.db, org.vi, disk_check),
        scripts.put(org.db, org.vi, disk_check),
        scripts.archive(org.db, org.vi, "disk-check"),
        scripts.execute(org.db, org.vi, "disk-check", ["web-1"], {}),
        script_versions.rollback(org.db, org.vi, "disk-check", 1),
    ):
        with pytest.raises(NotPermitted):
            await refused


async def test_a_version_that_is_not_there_is_not_found(org: Any, save_script: SaveScript) -> None:
    await save_script()
    with pytest.raises(NotFound, match="version 7"):
        await scripts.show(org.db, org.vi, "disk-check", 7)
