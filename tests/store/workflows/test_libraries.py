"""Libraries: linked by name, kept while they are needed, and at one version for all of an instance."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from definitions.errors import Conflict, Invalid, NotPermitted
from definitions.library import Library
from store import approval_views, executions, instances, jobs, libraries, scripts
from store.libraries import LIBRARIES
from tests.live.facts import blocked

SaveScript = Callable[..., Awaitable[int]]


async def save(org: Any, name: str = "lib", content: str = "f() { echo 1; }", language: str = "bash") -> int:
    library = Library.model_validate({"name": name, "language": language, "content": content})
    return (await LIBRARIES.put(org.db, org.ana, library))[0].id


async def test_a_library_has_versions_as_a_script_has(org: Any) -> None:
    library_id = await save(org)
    await save(org, content="f() { echo 2; }")
    difference = await LIBRARIES.diff(org.db, org.vi, "lib", 1, 2)
    assert ("+f() { echo 2; }" in difference.content, difference.settings) == (True, "")
    view = await LIBRARIES.rollback(org.db, org.ana, library_id, 1)
    assert (view.version, view.definition.content) == (3, "f() { echo 1; }")
    assert [row.version for row in (await LIBRARIES.versions(org.db, org.vi, library_id)).items] == [3, 2, 1]
    who = await org.db.fetchval(
        "SELECT actor_name FROM audit WHERE action = 'library.save' AND detail ->> 'version' = '3'"
    )
    assert who == "ana"


async def test_every_link_that_cannot_be_is_named(org: Any, save_script: SaveScript) -> None:
    await save(org, "good")
    await save(org, "snake", language="python")
    await save(org, "old")
    await LIBRARIES.archive(org.db, org.ana, "old")
    with pytest.raises(Invalid) as refused:
        await save_script(libraries=["missing", "snake", "good", "old", "good"])
    found = {problem.pointer: problem.code for problem in refused.value.problems}
    assert found == {
        "/libraries/0": "unknown-library",
        "/libraries/1": "other-language",
        "/libraries/3": "archived-library",
        "/libraries/4": "linked-twice",
    }


async def test_a_script_too_large_with_its_libraries_is_refused_when_it_is_saved(
    org: Any, save_script: SaveScript
) -> None:
    await save(org, content="#" * 1_000_000)
    with pytest.raises(Invalid, match="1048576 is the most"):
        await save_script(libraries=["lib"], content="#" * 100_000)


async def test_a_linked_library_is_neither_archived_nor_renamed_nor_translated(
    org: Any, save_script: SaveScript
) -> None:
    library_id = await save(org)
    script_id = await save_script(libraries=["lib"])
    for change in ({"name": "other"}, {"language": "python"}):
        changed = Library.model_validate({"name": "lib", "language": "bash", "content": "x", **change})
        with pytest.raises(Conflict, match="the script 'disk-check'"):
            await LIBRARIES.save(org.db, org.ana, changed, library_id)
    with pytest.raises(Conflict, match="needed by the script 'disk-check'"):
        await LIBRARIES.archive(org.db, org.ana, "lib")
    await scripts.archive(org.db, org.ana, script_id)
    await LIBRARIES.archive(org.db, org.ana, "lib")
    with pytest.raises(Invalid, match="can't be linked"):
        await save_script(libraries=["lib"])


async def test_a_library_is_not_archived_behind_the_back_of_a_script_being_saved(
    org: Any, save_script: SaveScript
) -> None:
    for number in range(20):
        await save(org, f"lib-{number}")
        outcomes = await asyncio.gather(
            save_script(name=f"s-{number}", libraries=[f"lib-{number}"]),
            LIBRARIES.archive(org.db, org.ana, f"lib-{number}"),
            return_exceptions=True,
        )
        failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert [type(error) for error in failed] in ([Conflict], [Invalid])


async def test_a_job_keeps_which_versions_ran_in_front_of_it(org: Any, save_script: SaveScript) -> None:
    first, second = await save(org, "one", "# one"), await save(org, "two", "# two")
    await save_script(libraries=["two", "one"])
    await save(org, "one", "# one, later")
    made = await executions.execute(org.db, org.ana, "disk-check", ["web-1"], {})
    view = await jobs.show(org.db, org.ana, made.jobs[0])
    assert view.payload["content"] == "# two\n# one, later\ndf -h"
    assert [library.model_dump() for library in view.libraries] == [
        {"id": second, "name": "two", "version": 1},
        {"id": first, "name": "one", "version": 2},
    ]


async def test_an_instance_keeps_the_library_versions_it_started_with(
    org: Any, save_script: SaveScript
) -> None:
    library_id = await save(org)
    script_id = await save_script(libraries=["lib"])
    await org.publish([{"id": "check", "type": "script", "script": "disk-check"}])
    view = await org.start("deploy")
    await save(org, content="f() { echo 2; }")
    pins = await org.db.fetchval("SELECT pinned_libraries FROM instances WHERE id = $1", view.id)
    assert pins == {"lib": {"id": library_id, "version": 1}}
    script = await scripts.load_version(org.db, script_id, 1)
    (linked,) = await libraries.pinned(org.db, pins, script)
    assert (linked.version, linked.library.content) == (1, "f() { echo 1; }")
    assert await libraries.pinned(org.db, {}, script) == []
    again = await instances.rerun(org.db, org.ana, view.id)
    pins = await org.db.fetchval("SELECT pinned_libraries FROM instances WHERE id = $1", again.id)
    assert pins["lib"]["version"] == 2


async def test_an_approver_says_yes_to_the_library_versions_too(org: Any, save_script: SaveScript) -> None:
    await save(org)
    await save_script(libraries=["lib"])
    gate = {"id": "gate", "type": "approval", "title": "Deploy?", "approvers": ["role:approver"]}
    await org.publish([gate, {"id": "check", "type": "script", "script": "disk-check"}])
    request: approval_views.ApprovalView = await org.open_gate(await org.start("deploy"))
    assert request.frozen["libraries"] == {"lib": 1}


async def test_a_viewer_changes_no_library(org: Any) -> None:
    await save(org)
    library = Library(name="lib", language="bash", content="x")
    for refused in (
        LIBRARIES.save(org.db, org.vi, library),
        LIBRARIES.put(org.db, org.vi, library),
        LIBRARIES.archive(org.db, org.vi, "lib"),
        LIBRARIES.rollback(org.db, org.vi, "lib", 1),
    ):
        with pytest.raises(NotPermitted):
            await refused


async def test_a_run_that_meets_a_library_being_saved_gets_the_one_saved(
    org: Any, save_script: SaveScript
) -> None:
    library_id = await save(org)
    await save_script(libraries=["lib"])
    async with org.db.transaction() as tx:
        await tx.execute("UPDATE libraries SET version = 2 WHERE id = $1", library_id)
        running = asyncio.create_task(executions.execute(org.db, org.ana, "disk-check", ["web-1"], {}))
        await blocked(org.db, running)
        await tx.execute(
            """INSERT INTO library_versions (library_id, version, definition)
               VALUES ($1, 2, $2)""",
            library_id,
            {"language": "bash", "content": "# newer"},
        )
    (job,) = (await running).jobs
    view = await jobs.show(org.db, org.ana, job)
    assert (view.libraries[0].version, view.payload["content"]) == (2, "# newer\ndf -h")
