"""Published versions: compared, taken back; a draft that somebody saved meanwhile."""

from typing import Any

import pytest

from definitions.errors import Invalid, NotFound, NotPermitted, StaleEdit
from store import scripts, workflow_versions, workflows

WAIT = {"id": "wait", "type": "delay", "seconds": 5}
LONGER = {**WAIT, "seconds": 60}


async def two_versions(org: Any) -> int:
    await org.publish([WAIT], description="First.")
    workflow: int = await org.publish([LONGER], description="Second.")
    return workflow


async def test_two_versions_are_compared_steps_apart_from_the_rest(org: Any) -> None:
    await two_versions(org)
    found = await workflow_versions.diff(org.db, org.vi, "deploy", 1, 2)
    assert '-  "description": "First."' in found.settings
    assert '+    "seconds": 60' in found.content
    assert "seconds" not in found.settings
    same = await workflow_versions.diff(org.db, org.vi, "deploy", 2, 2)
    assert (same.settings, same.content) == ("", "")
    with pytest.raises(NotFound, match="version 9"):
        await workflow_versions.diff(org.db, org.vi, "deploy", 1, 9)


async def test_going_back_makes_a_new_version_equal_to_the_older_one(org: Any) -> None:
    workflow = await two_versions(org)
    view = await workflows.rollback(org.db, org.bo, workflow, 1)
    assert (view.published_version, view.description, view.changed_since_published) == (3, "First.", False)
    newest, second, first = (await workflow_versions.versions(org.db, org.vi, workflow)).items
    third, two, one = [
        (await workflow_versions.one(org.db, org.vi, workflow, each.version)).definition
        for each in (newest, second, first)
    ]
    assert third == one != two
    with pytest.raises(NotFound, match="version 4"):
        await workflow_versions.one(org.db, org.vi, workflow, 4)
    assert (newest.published_by_name, first.published_by_name) == ("bo", "ana")
    detail = await org.db.fetchval(
        "SELECT detail FROM audit WHERE action = 'workflow.publish' ORDER BY id DESC"
    )
    assert detail == {"name": "deploy", "version": 3, "of_version": 1}
    again = await workflows.rollback(org.db, org.bo, workflow, 1)
    assert again == view, "what is so already stays as it is"


async def test_going_back_keeps_changes_that_were_never_published(org: Any) -> None:
    workflow = await two_versions(org)
    before = await workflows.show(org.db, org.ana, workflow)
    mine = {"name": "deploy", "steps": [{**WAIT, "seconds": 7}]}
    await workflows.save_draft(org.db, org.ana, mine, workflow, before.revision)
    view = await workflows.rollback(org.db, org.bo, workflow, 1)
    assert (view.published_version, view.draft, view.changed_since_published) == (3, mine, True)


async def test_a_version_that_can_not_run_any_more_is_not_gone_back_to(org: Any, save_script: Any) -> None:
    await save_script()
    await org.publish([{"id": "check", "type": "script", "script": "disk-check"}])
    workflow = await org.publish([WAIT])
    await scripts.archive(org.db, org.ana, "disk-check")
    with pytest.raises(Invalid, match="can't be published") as refused:
        await workflows.rollback(org.db, org.ana, workflow, 1)
    assert refused.value.problems[0].pointer.startswith("/steps/0/script")
    assert (await workflows.show(org.db, org.ana, workflow)).published_version == 2
    with pytest.raises(NotPermitted):
        await workflows.rollback(org.db, org.vi, workflow, 1)


async def test_a_stale_edit_is_refused_with_what_is_there_now(org: Any) -> None:
    view = await workflows.save_draft(org.db, org.ana, {"name": "deploy", "steps": [WAIT]})
    await workflows.save_draft(org.db, org.bo, {"name": "deploy", "steps": [LONGER]}, view.id, view.revision)
    mine = {"name": "deploy", "steps": [WAIT], "description": "Mine."}
    with pytest.raises(StaleEdit, match="at revision 2, and you saw revision 1") as refused:
        await workflows.save_draft(org.db, org.ana, mine, view.id, view.revision)
    assert '+  "description": "Mine."' in refused.value.diff["settings"]
    assert '-    "seconds": 60' in refused.value.diff["content"]
    assert "--- revision 2\n+++ yours" in refused.value.diff["content"]
