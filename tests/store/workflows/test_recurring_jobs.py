"""Recurring jobs as people make, change, switch and archive them."""

from typing import Any

import pytest

from definitions.errors import Conflict, Invalid, NotPermitted
from definitions.script import Script
from store import recurring_jobs, scripts, workflows

COMMAND = {"type": "command", "hosts": ["web-1"], "payload": {"command": "uptime"}}
NIGHTLY: dict[str, Any] = {
    "name": "nightly",
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "job": COMMAND,
}


async def refused(org: Any, **change: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        await recurring_jobs.save(org.db, org.ana, {**NIGHTLY, **change})
    return [(problem.code, problem.pointer) for problem in caught.value.problems]


async def test_it_says_in_words_when_it_fires_and_when_next_in_its_zone(org: Any) -> None:
    made = await recurring_jobs.save(org.db, org.ana, NIGHTLY)
    assert (made.in_words, made.owner, made.enabled, made.stopped) == ("At 02:30", "ana", True, None)
    assert len(made.next_runs) == 5
    assert made.next_run_at == made.next_runs[0]
    assert all(run.utcoffset() is not None and run.minute == 30 for run in made.next_runs)
    assert await recurring_jobs.show(org.db, org.vi, "nightly") == made


async def test_every_problem_is_said_at_once(org: Any) -> None:
    job = {"type": "script", "hosts": ["web-9"], "payload": {"script": "nothing"}}
    found = await refused(org, cron="@daily", timezone="Mars", job=job)
    assert found == [
        ("cron-macro", "/cron"),
        ("unknown-timezone", "/timezone"),
        ("unknown-host", "/job/hosts/0"),
        ("not-available", "/job/payload/script"),
    ]


async def test_the_parameters_of_a_saved_script_and_the_inputs_of_a_workflow_are_checked(
    org: Any, disk_check: Script
) -> None:
    secret = [{"name": "limit", "type": "integer", "required": True}, {"name": "key", "type": "secret"}]
    await scripts.put(org.db, org.ana, Script(**{**disk_check.model_dump(), "parameters": secret}))
    payload = {"script": "disk-check", "parameters": {"limit": "many", "key": "k"}, "language": "bash"}
    assert await refused(org, job={"type": "command", "hosts": ["web-1"], "payload": payload}) == [
        ("unknown-key", "/job/payload/language"),
        ("wrong-type", "/job/type"),
        ("bad-value", "/job/payload/parameters/limit"),
        ("secret-kept", "/job/payload/parameters/key"),
    ]
    needs_hosts = {"id": "a", "type": "command", "command": "true"}
    await org.publish([needs_hosts], inputs=[{"name": "n", "type": "integer"}])
    deploy = {"name": "deploy", "inputs": {"m": 1}, "hosts": []}
    assert await refused(org, job=None, workflow=deploy) == [
        ("empty-target-set", "/workflow/hosts"),
        ("unknown-parameter", "/workflow/inputs/m"),
    ]


async def test_a_workflow_that_runs_on_no_host_of_the_instance_is_given_none(org: Any) -> None:
    await org.publish([{"id": "a", "type": "delay", "seconds": 1}])
    saved = await recurring_jobs.save(
        org.db, org.ana, {**NIGHTLY, "job": None, "workflow": {"name": "deploy"}}
    )
    assert saved.next_run_at is not None


async def test_what_it_dispatches_takes_the_same_right_as_doing_it_by_hand(org: Any) -> None:
    await org.publish([{"id": "a", "type": "delay", "seconds": 1}])
    deploy = {**NIGHTLY, "job": None, "workflow": {"name": "deploy", "hosts": ["web-1"]}}
    with pytest.raises(NotPermitted):
        await recurring_jobs.save(org.db, org.vi, NIGHTLY)
    for permission in ("jobs.manage", "workflows.manage"):
        weaker = org.ana.__class__("user", org.ana.id, "ana", org.ana.permissions - {permission})
        with pytest.raises(NotPermitted, match=permission):
            await recurring_jobs.save(org.db, weaker, deploy)


async def test_put_changes_only_what_differs(org: Any) -> None:
    _, first = await recurring_jobs.put(org.db, org.ana, NIGHTLY)
    _, again = await recurring_jobs.put(org.db, org.ana, NIGHTLY)
    changed, third = await recurring_jobs.put(org.db, org.ana, {**NIGHTLY, "cron": "0 4 * * *"})
    assert (first, again, third, changed.in_words) == (True, False, True, "At 04:00")


async def test_disabled_it_has_no_next_run_and_says_who_did_it(org: Any) -> None:
    await recurring_jobs.save(org.db, org.ana, NIGHTLY)
    off = await recurring_jobs.switch(org.db, org.ana, "nightly", enabled=False)
    assert (off.enabled, off.disabled_by, off.next_run_at) == (False, "ana", None)
    on = await recurring_jobs.switch(org.db, org.ana, "nightly", enabled=True)
    assert (on.enabled, on.disabled_by, on.next_run_at) == (True, None, on.next_runs[0])


async def test_jobs_do_not_become_a_workflow(org: Any) -> None:
    await recurring_jobs.save(org.db, org.ana, NIGHTLY)
    await org.publish([{"id": "a", "type": "delay", "seconds": 1}])
    deploy = {**NIGHTLY, "job": None, "workflow": {"name": "deploy", "hosts": ["web-1"]}}
    with pytest.raises(Invalid, match="not valid") as caught:
        await recurring_jobs.save(org.db, org.ana, deploy, "nightly")
    assert [problem.code for problem in caught.value.problems] == ["job-or-workflow"]


async def test_archived_it_fires_no_more_until_it_is_saved_again(org: Any) -> None:
    made = await recurring_jobs.save(org.db, org.ana, NIGHTLY)
    await recurring_jobs.archive(org.db, org.ana, made.id)
    page = await recurring_jobs.listing(org.db, org.vi)
    assert page.items == []
    with pytest.raises(Conflict, match="archived"):
        await recurring_jobs.run(org.db, org.ana, made.id)
    back, changed = await recurring_jobs.put(org.db, org.ana, NIGHTLY)
    assert (back.id, back.archived, changed, back.next_run_at) == (made.id, False, True, back.next_runs[0])


async def test_an_end_date_that_has_passed_may_stay_and_stops_it(org: Any) -> None:
    ending = {**NIGHTLY, "end_date": "2099-01-01T00:00:00+00:00"}
    made = await recurring_jobs.save(org.db, org.ana, ending)
    past = "2020-01-01T00:00:00Z"
    await org.db.execute(
        "UPDATE recurring_jobs SET definition = jsonb_set(definition, '{end_date}', to_jsonb($1::text))", past
    )
    kept = await recurring_jobs.save(
        org.db, org.ana, {**ending, "end_date": past, "cron": "0 5 * * *"}, made.id
    )
    assert (kept.stopped, kept.next_run_at) == ("No tick is left before its end date.", None)
    with pytest.raises(Invalid):
        await recurring_jobs.save(org.db, org.ana, {**ending, "end_date": "2021-01-01T00:00:00Z"}, made.id)


async def test_what_it_needs_is_not_archived(org: Any, save_script: Any) -> None:
    await save_script()
    await org.publish([{"id": "a", "type": "delay", "seconds": 1}])
    job = {"type": "script", "hosts": ["web-1"], "payload": {"script": "disk-check"}}
    await recurring_jobs.save(org.db, org.ana, {**NIGHTLY, "job": job})
    deploy = {"name": "weekly", "cron": "0 0 * * 0", "workflow": {"name": "deploy", "hosts": ["web-1"]}}
    await recurring_jobs.save(org.db, org.ana, deploy)
    with pytest.raises(Conflict, match="needed by the recurring job 'nightly'"):
        await scripts.archive(org.db, org.ana, "disk-check")
    with pytest.raises(Conflict, match="needed by the recurring job 'weekly'"):
        await workflows.archive(org.db, org.ana, "deploy")
    await recurring_jobs.archive(org.db, org.ana, "weekly")
    await workflows.archive(org.db, org.ana, "deploy")


async def test_a_workflow_keeps_the_name_that_recurring_jobs_go_by(org: Any) -> None:
    steps = [{"id": "a", "type": "delay", "seconds": 1}]
    number = await org.publish(steps)
    renamed = {"name": "deploy-all", "steps": steps}
    deploy = {"name": "weekly", "cron": "0 0 * * 0", "workflow": {"name": "deploy", "hosts": ["web-1"]}}
    await recurring_jobs.save(org.db, org.ana, deploy)
    with pytest.raises(Conflict, match="needed by the recurring job 'weekly' by this name"):
        await workflows.save_draft(org.db, org.ana, renamed, number, 1)
    assert (await workflows.show(org.db, org.vi, "deploy")).revision == 1
    by_id = {**deploy, "workflow": {**deploy["workflow"], "name": str(number)}}  # type: ignore[dict-item]
    await recurring_jobs.save(org.db, org.ana, by_id, "weekly")
    assert (await workflows.save_draft(org.db, org.ana, renamed, number, 1)).name == "deploy-all"


async def test_a_script_keeps_the_name_that_recurring_jobs_go_by(
    org: Any, save_script: Any, disk_check: Script
) -> None:
    number = await save_script()
    payload = {"script": "disk-check"}
    job = {"type": "script", "hosts": ["web-1"], "payload": payload}
    await recurring_jobs.save(org.db, org.ana, {**NIGHTLY, "job": job})
    renamed = disk_check.model_copy(update={"name": "disks"})
    with pytest.raises(Conflict, match="needed by the recurring job 'nightly' by this name"):
        await scripts.save(org.db, org.ana, renamed, number)
    by_id = {**job, "payload": {"script": number}}
    await recurring_jobs.save(org.db, org.ana, {**NIGHTLY, "job": by_id}, "nightly")
    assert (await scripts.save(org.db, org.ana, renamed, number)).name == "disks"
