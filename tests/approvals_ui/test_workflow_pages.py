"""The list of workflows, and the form that starts one."""

import html
import re
from dataclasses import replace

import pytest

from definitions.permissions import SYSTEM
from definitions.script import Script
from store import recurring_jobs, scripts, users, workflows


async def start(person, workflow_id, fields):
    """Fill in the start form."""
    path = f"/workflows/{workflow_id}"
    return await person.post(f"{path}/start", fields, await person.csrf(path))


async def test_the_list_shows_what_is_published(browser, seed):
    await seed()
    olga = browser()
    await olga.enter("olga")
    shown = (await olga.get("/workflows")).text
    assert "deploy-web" in shown
    assert "version 1" in shown


async def test_the_form_has_a_field_for_every_input_and_a_box_for_every_host(browser, seed):
    seeded = await seed()
    olga = browser()
    await olga.enter("olga")
    shown = (await olga.get(f"/workflows/{seeded.workflow_id}")).text
    assert re.search(r'type="checkbox" name="host" value="web-1"', shown)
    assert re.search(r'<input id="input.threshold"[^>]*type="text"[^>]*required', shown, re.S)
    assert re.search(r'<select id="input.channel"', shown)
    assert shown.count("online") >= 1


async def test_the_form_starts_an_instance(browser, seed, db):
    seeded = await seed()
    olga = browser()
    await olga.enter("olga")
    fields = {"host": "web-1", "input.threshold": "75", "input.note": "by form", "input.channel": ""}
    response = await start(olga, seeded.workflow_id, fields)
    row = await db.fetchrow("SELECT id, inputs, started_by_name FROM instances ORDER BY id DESC LIMIT 1")
    assert response.headers["location"] == f"/instances/{row['id']}"
    assert row["started_by_name"] == "olga"
    assert row["inputs"]["threshold"] == 75
    assert row["inputs"]["channel"] == "stable"


async def test_each_choice_of_the_form_can_be_chosen_whatever_its_type(browser, seed, db):
    choices = [True, False, 7, 1.5, "7 <b>"]
    given = [{"name": "how", "type": "choice", "choices": choices, "required": True}]
    steps = [{"id": "look", "type": "command", "command": "true"}]
    steps.append({"id": "gate", "type": "approval", "approvers": ["role:approver"]})
    olga = browser()
    seeded = await seed()
    await olga.enter("olga")
    actor = await users.actor_of(db, seeded.people["olga"])
    document = {"name": "choosy", "inputs": given, "steps": steps}
    view, _ = await workflows.put(db, actor, document, publish=True)
    shown = (await olga.get(f"/workflows/{view.id}")).text
    select = shown.split('<select id="input.how"')[1].split("</select>")[0]
    values = [html.unescape(value) for value in re.findall(r'<option value="([^"]+)"', select)]
    assert len(values) == len(choices)
    for value in values:
        response = await start(olga, view.id, {"host": "web-1", "input.how": value})
        assert response.status_code == 303, value
    rows = await db.fetch("SELECT inputs FROM instances WHERE workflow_id = $1 ORDER BY id", view.id)
    assert [row["inputs"]["how"] for row in rows] == choices


async def test_targets_may_be_named_in_words(browser, seed, db):
    seeded = await seed()
    await db.execute("UPDATE hosts SET tags = '{web}'")
    olga = browser()
    await olga.enter("olga")
    response = await start(olga, seeded.workflow_id, {"targets": "tag:web, web-1", "input.threshold": "75"})
    assert response.status_code == 303


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input.threshold": "75"}, "No host is named."),
        ({"targets": "nowhere", "input.threshold": "75"}, "There is no host nowhere."),
        ({"host": "web-1", "input.threshold": "many"}, "threshold"),
        ({"host": "web-1"}, "threshold"),
    ],
)
async def test_a_refused_start_says_why_and_keeps_what_was_filled_in(browser, seed, db, fields, words):
    seeded = await seed()
    olga = browser()
    await olga.enter("olga")
    response = await start(olga, seeded.workflow_id, {**fields, "input.note": "kept <b>"})
    assert response.status_code == 422
    assert words in response.text.split('role="alert"')[1].split("</div>")[0]
    assert 'value="kept &lt;b&gt;"' in response.text
    assert await db.fetchval("SELECT count(*) FROM instances") == 1


async def test_a_secret_is_never_sent_back(browser, seed, db):
    seeded = await seed()
    await db.execute(
        """UPDATE workflow_versions SET definition = jsonb_set(definition::jsonb, '{inputs,0}', $1)::json""",
        {"name": "token", "type": "secret"},
    )
    olga = browser()
    await olga.enter("olga")
    response = await start(olga, seeded.workflow_id, {"input.token": "hunter2"})
    assert response.status_code == 422
    assert re.search(r'<input id="input.token"[^>]*type="password"', response.text)
    assert "hunter2" not in response.text


async def test_whoever_only_looks_has_no_form(browser, seed, db):
    seeded = await seed()
    vera = browser()
    await vera.enter("vera")
    assert 'type="checkbox"' not in (await vera.get(f"/workflows/{seeded.workflow_id}")).text
    response = await start(vera, seeded.workflow_id, {"host": "web-1", "input.threshold": "75"})
    assert response.status_code == 403
    assert await db.fetchval("SELECT count(*) FROM instances") == 1


async def test_a_draft_can_not_be_started_and_says_what_is_wrong_with_it(browser, people, db):
    olga = browser()
    await olga.enter("olga")
    actor = await users.actor_of(db, people["olga"])
    steps = [{"id": "a", "type": "command", "command": "true", "on_success": "nowhere"}]
    view = await workflows.save_draft(db, actor, {"name": "broken", "steps": steps})
    shown = (await olga.get(f"/workflows/{view.id}")).text
    assert "Publish it before starting it." in shown
    assert "nowhere" in shown


async def test_whoever_only_looks_reads_what_the_workflow_does(browser, seed, db):
    seeded = await seed(outputs={"printed": "{{step_look.stdout}}"})
    vera = browser()
    await vera.enter("vera")
    shown = (await vera.get(f"/workflows/{seeded.workflow_id}")).text
    for words in (
        "df -h /",
        "deploy {{inputs.note}}",
        "Asks <code>role:approver</code>: any one of the approvers",
        "timeout_minutes",
        "the end: failed",
        "integer, required. Percent of the disk.",
        "{{step_look.stdout}}",
    ):
        assert words in shown, words
    assert "/archive" not in shown
    csrf = await vera.csrf(f"/workflows/{seeded.workflow_id}")
    assert (await vera.post(f"/workflows/{seeded.workflow_id}/archive", {}, csrf)).status_code == 403


async def test_a_step_names_its_script_to_whom_may_view_scripts(browser, people, db):
    actor = await users.actor_of(db, people["olga"])
    script = Script(name="disk-check", language="bash", content="df")
    number = (await scripts.put(db, SYSTEM, script))[0].id
    steps = [{"id": "check", "type": "script", "script": "disk-check"}]
    view, _ = await workflows.put(db, actor, {"name": "checks", "steps": steps}, publish=True)
    olga = browser()
    await olga.enter("olga")
    assert "Runs the script <code>disk-check</code>" in (await olga.get(f"/workflows/{view.id}")).text
    narrow = replace(actor, permissions=frozenset({"workflows.view"}))
    assert await scripts.names(db, narrow, [number]) == {}


async def test_a_workflow_is_archived_on_its_page_unless_a_recurring_job_needs_it(browser, seed, people, db):
    seeded = await seed()
    actor = await users.actor_of(db, people["olga"])
    what = {"name": "deploy-web", "hosts": ["web-1"], "inputs": {"threshold": 1}}
    weekly = {"name": "weekly", "cron": "0 0 * * 0", "workflow": what}
    await recurring_jobs.save(db, actor, weekly)
    olga, path = browser(), f"/workflows/{seeded.workflow_id}"
    await olga.enter("olga")
    csrf = await olga.csrf(path)
    refused = await olga.post(f"{path}/archive", {}, csrf)
    assert (refused.status_code, "the recurring job &#39;weekly&#39;" in refused.text) == (409, True)
    await recurring_jobs.archive(db, actor, "weekly")
    assert (await olga.post(f"{path}/archive", {}, csrf)).headers["location"] == "/workflows"
    shown = (await olga.get(path)).text
    assert "archived; no more of it" in shown
    assert f"{path}/archive" not in shown


async def test_versions_are_shown_with_who_and_what_and_gone_back_to(browser, seed, db):
    seeded = await seed()
    await seed(description="Second <b>.")
    anna, path = browser(), f"/workflows/{seeded.workflow_id}/versions"
    await anna.enter("anna")
    shown = (await anna.get(path)).text
    assert "From version 1 to version 2" in shown
    assert "Second &lt;b&gt;." in shown
    assert "Go back to version 1" in shown
    csrf = await anna.csrf(path)
    for wrong in ("9", "x"):
        refused = await anna.post(f"/workflows/{seeded.workflow_id}/rollback", {"version": wrong}, csrf)
        assert refused.status_code == 404
    back = await anna.post(f"/workflows/{seeded.workflow_id}/rollback", {"version": "1"}, csrf)
    assert back.status_code == 303
    shown = (await anna.get(path)).text
    assert "published by anna" in shown
    assert "They are the same." in (await anna.get(f"{path}?old=1&new=3")).text
    older = (await anna.get(f"{path}?after=2")).text
    assert 'new=1"' in older
    assert 'new=2"' not in older


async def test_a_newer_draft_is_shown_with_its_problems_and_published_as_it_was_seen(
    browser, seed, people, db
):
    seeded = await seed()
    olga, path = browser(), f"/workflows/{seeded.workflow_id}"
    await olga.enter("olga")
    assert "newer draft" not in (await olga.get(path)).text
    actor = await users.actor_of(db, people["olga"])
    inner = {"id": "deep-inside", "type": "command", "command": "true", "on_success": "nowhere"}
    fork = {"id": "fork", "type": "parallel", "branches": [{"steps": [inner]}]}
    await workflows.put(db, actor, {"name": "deploy-web", "steps": [fork]})
    shown = (await olga.get(path)).text
    assert "newer draft, at revision 2" in shown
    assert "There is no step <code>nowhere</code>" in shown
    csrf = await olga.csrf(path)
    refused = await olga.post(f"{path}/publish", {"revision": "2"}, csrf)
    assert (refused.status_code, "published as it is" in refused.text) == (422, True)
    await workflows.put(db, actor, {"name": "deploy-web", "steps": [{**fork, "branches": [[inner]]}]})
    del inner["on_success"]
    await workflows.put(db, actor, {"name": "deploy-web", "steps": [fork]})
    for stale, code in (("2", 409), ("", 422)):
        assert (await olga.post(f"{path}/publish", {"revision": stale}, csrf)).status_code == code
    assert (await olga.post(f"{path}/publish", {"revision": "4"}, csrf)).status_code == 303
    shown = (await olga.get(path)).text
    assert "deep-inside" in shown
    assert "in branch 1 of <code>fork</code>" in shown
    assert "newer draft" not in shown
    vera = browser()
    await vera.enter("vera")
    assert (await vera.post(f"{path}/publish", {"revision": "4"}, await vera.csrf(path))).status_code == 403
