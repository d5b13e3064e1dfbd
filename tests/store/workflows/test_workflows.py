"""Drafts and published versions."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from definitions.errors import Conflict, Invalid, NotFound, NotPermitted
from store import scripts, simulations, workflow_versions, workflows

SaveScript = Callable[..., Awaitable[int]]

WAIT = {"id": "wait", "type": "delay", "seconds": 5}


def document(*steps: dict[str, Any], name: str = "deploy", **more: Any) -> dict[str, Any]:
    return {"kind": "workflow", "name": name, "steps": list(steps), **more}


async def test_a_draft_is_kept_as_written_with_its_problems(org: Any) -> None:
    written = {"id": "wait", "type": "delay", "secods": 5}
    view = await workflows.save_draft(org.db, org.ana, document(written))
    assert view.draft["steps"] == [written]
    assert list(view.draft["steps"][0]) == ["id", "type", "secods"], "the order of keys is the author's"
    assert any(problem.severity == "error" for problem in view.problems)
    assert (view.revision, view.published_version) == (1, None)


async def test_a_draft_with_errors_is_not_published(org: Any) -> None:
    view = await workflows.save_draft(org.db, org.ana, document({"id": "wait", "type": "delay"}))
    with pytest.raises(Invalid) as refused:
        await workflows.publish(org.db, org.ana, view.id)
    assert list(refused.value.problems) == view.problems
    assert (await workflows.show(org.db, org.ana, view.id)).published_version is None


async def test_publishing_asks_for_a_deployment(org: Any) -> None:
    workflow_id = await org.publish([WAIT])
    rows = await org.db.fetch("SELECT kind, payload FROM outbox")
    assert [(row["kind"], row["payload"]) for row in rows] == [
        ("deploy_workflow", {"workflow_id": workflow_id})
    ]


async def test_publishing_the_same_again_keeps_the_version(org: Any) -> None:
    view = await workflows.save_draft(org.db, org.ana, document(WAIT))
    assert view.changed_since_published
    for _ in range(2):
        view = await workflows.publish(org.db, org.ana, "deploy")
    assert (view.published_version, view.changed_since_published) == (1, False)
    assert await org.db.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_changed_draft_becomes_the_next_version_and_the_old_one_stays(org: Any) -> None:
    workflow_id = await org.publish([WAIT])
    await org.publish([{**WAIT, "seconds": 9}])
    versions = (await workflow_versions.versions(org.db, org.vi, workflow_id)).items
    assert [version.version for version in versions] == [2, 1]
    assert versions[0].published_by_name == "ana"
    assert (await workflows.load_version(org.db, workflow_id, 1)).step("wait").seconds == 5  # type: ignore[union-attr]


async def test_a_stale_edit_is_refused(org: Any) -> None:
    view = await workflows.save_draft(org.db, org.ana, document(WAIT))
    await workflows.save_draft(org.db, org.ana, document(WAIT, description="new"), view.id, view.revision)
    with pytest.raises(Conflict, match="revision 2, and you saw revision 1"):
        await workflows.save_draft(
            org.db, org.ana, document(WAIT, description="other"), view.id, view.revision
        )
    with pytest.raises(Conflict):
        await workflows.save_draft(org.db, org.ana, document(WAIT), view.id)
    assert (await workflows.show(org.db, org.vi, view.id)).description == "new"


async def test_of_two_edits_of_one_revision_one_wins(org: Any) -> None:
    view = await workflows.save_draft(org.db, org.ana, document(WAIT))
    edits = [
        workflows.save_draft(org.db, org.ana, document(WAIT, description=text), view.id, 1) for text in "ab"
    ]
    results = await asyncio.gather(*edits, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["StaleEdit", "WorkflowView"]


async def test_putting_the_same_again_changes_nothing(org: Any) -> None:
    first, changed = await workflows.put(org.db, org.ana, document(WAIT), publish=True)
    assert changed
    again, changed = await workflows.put(org.db, org.ana, document(WAIT), publish=True)
    assert not changed
    assert again == first


async def test_putting_an_invalid_definition_with_publish_saves_nothing(org: Any) -> None:
    with pytest.raises(Invalid):
        await workflows.put(org.db, org.ana, document({"id": "wait", "type": "delay"}), publish=True)
    with pytest.raises(NotFound):
        await workflows.show(org.db, org.ana, "deploy")


async def test_puts_of_one_name_at_once_make_one_workflow(org: Any) -> None:
    results = await asyncio.gather(
        *(workflows.put(org.db, org.ana, document(WAIT), publish=True) for _ in range(5))
    )
    assert len({view.id for view, _ in results}) == 1
    assert [changed for _, changed in results].count(True) == 1


async def test_a_published_version_names_scripts_by_id(org: Any, save_script: SaveScript) -> None:
    script_id = await save_script()
    workflow_id = await org.publish([{"id": "check", "type": "script", "script": "disk-check"}])
    await scripts.save(
        org.db,
        org.ana,
        (await scripts.load_version(org.db, script_id, 1)).model_copy(update={"name": "renamed"}),
        script_id,
    )
    step = (await workflows.load_version(org.db, workflow_id, 1)).step("check")
    assert step.script == script_id  # type: ignore[union-attr]


async def test_an_unknown_script_is_a_problem_of_the_draft(org: Any) -> None:
    problems = await workflows.validate(
        org.db, org.vi, document({"id": "check", "type": "script", "script": "missing"})
    )
    assert any(problem.severity == "error" and "script" in problem.pointer for problem in problems)


async def test_a_name_that_cannot_be_told_from_an_id_or_typed_is_refused(org: Any) -> None:
    for name in ("42", "", "a/b", " a", "x" * 201, 7, None, "a\nb"):
        with pytest.raises(Invalid):
            await workflows.save_draft(org.db, org.ana, {"name": name, "steps": []})


async def test_what_the_database_cannot_keep_is_refused_in_words(org: Any) -> None:
    for text in ("a\x00b", "\ud800", float("nan")):
        with pytest.raises(Invalid):
            await workflows.save_draft(org.db, org.ana, document(WAIT, description=text))


async def test_a_backslash_in_a_text_is_not_a_nul(org: Any) -> None:
    view = await workflows.save_draft(org.db, org.ana, document(WAIT, description="C:\\u0000"))
    assert view.description == "C:\\u0000"


async def test_two_workflows_never_share_a_name(org: Any) -> None:
    await workflows.save_draft(org.db, org.ana, document(WAIT))
    other = await workflows.save_draft(org.db, org.ana, document(WAIT, name="other"))
    with pytest.raises(Conflict, match="already"):
        await workflows.save_draft(org.db, org.ana, document(WAIT))
    with pytest.raises(Conflict, match="already"):
        await workflows.save_draft(org.db, org.ana, document(WAIT), other.id, other.revision)


async def test_an_archived_workflow_is_hidden_until_it_is_saved_again(org: Any) -> None:
    workflow_id = await org.publish([WAIT])
    await workflows.archive(org.db, org.ana, "deploy")
    assert (await workflows.listing(org.db, org.vi)).items == []
    assert [row.id for row in (await workflows.listing(org.db, org.vi, archived=True)).items] == [workflow_id]
    with pytest.raises(Conflict, match="archived"):
        await workflows.publish(org.db, org.ana, workflow_id)
    await org.publish([WAIT])
    assert [row.id for row in (await workflows.listing(org.db, org.vi)).items] == [workflow_id]


async def test_a_rename_and_a_way_back_out_of_the_archive_are_audited_as_such(org: Any) -> None:
    async def audited(view: Awaitable[Any]) -> list[str]:
        newest = await org.db.fetchval("SELECT max(id) FROM audit")
        await view
        rows = await org.db.fetch("SELECT action FROM audit WHERE id > $1 ORDER BY id", newest)
        return [row["action"] for row in rows]

    view = await workflows.save_draft(org.db, org.ana, document(WAIT))
    await workflows.archive(org.db, org.ana, view.id)
    assert await audited(workflows.put(org.db, org.ana, document(WAIT))) == ["workflow.restore"]
    renamed = workflows.save_draft(org.db, org.ana, document(WAIT, name="other"), view.id, view.revision)
    assert await audited(renamed) == ["workflow.rename", "workflow.save"]
    detail = await org.db.fetchval("SELECT detail FROM audit WHERE action = 'workflow.rename'")
    assert detail == {"name": "other", "was": "deploy"}


async def test_what_is_not_there_is_not_found(org: Any) -> None:
    for reference in (999, "999", "missing", "9" * 40, "a\x00b", -1, "²"):
        with pytest.raises(NotFound):
            await workflows.show(org.db, org.vi, reference)


async def test_a_viewer_changes_nothing(org: Any) -> None:
    await org.publish([WAIT])
    for refused in (
        workflows.save_draft(org.db, org.vi, document(WAIT, name="mine")),
        workflows.put(org.db, org.vi, document(WAIT)),
        workflows.publish(org.db, org.vi, "deploy"),
        workflows.archive(org.db, org.vi, "deploy"),
    ):
        with pytest.raises(NotPermitted):
            await refused


async def test_the_list_goes_on_where_it_stopped(org: Any) -> None:
    for number in range(5):
        await workflows.save_draft(org.db, org.ana, document(WAIT, name=f"w{number}"))
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await workflows.listing(org.db, org.vi, limit=2, after=after)
        seen += [row.name for row in page.items]
        if (after := page.next) is None:
            break
    assert seen == ["w4", "w3", "w2", "w1", "w0"]


async def test_a_definition_too_large_to_be_saved_is_not_looked_at(org: Any) -> None:
    large = document({**WAIT, "name": "x" * workflows.MAX_DOCUMENT_BYTES})
    with pytest.raises(Invalid, match="larger than 1024 KiB"):
        await workflows.validate(org.db, org.vi, large)
    with pytest.raises(Invalid, match="larger than 1024 KiB"):
        await simulations.of_document(org.db, org.vi, large, {})


async def test_who_may_not_view_hosts_and_scripts_reads_no_name_of_one(
    org: Any, save_script: SaveScript
) -> None:
    await save_script()
    steps = {"id": "a", "type": "script", "script": "disk-chek", "hosts": ["web-11"]}, WAIT
    drawer = replace(org.ana, permissions=frozenset({"workflows.view", "workflows.manage"}))
    open_words = [problem.fix for problem in await workflows.validate(org.db, org.ana, document(*steps))]
    assert any("disk-check" in fix for fix in open_words)
    assert any("web-1" in fix for fix in open_words)
    for problems in (
        await workflows.validate(org.db, drawer, document(*steps)),
        (await workflows.save_draft(org.db, drawer, document(*steps))).problems,
    ):
        assert [problem.code for problem in problems] == ["not-checked"]
    with pytest.raises(Invalid) as refused:
        await workflows.publish(org.db, drawer, "deploy")
    assert [problem.code for problem in refused.value.problems] == ["not-checked", "out-of-sight"]
