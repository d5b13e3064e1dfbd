"""Recurring jobs on pages: the list, one with its ticks, the form with its preview."""

import pytest

FORM = {
    "name": "nightly",
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "overlap": "skip",
    "catch_up": "one",
    "catch_up_limit": "10",
    "enabled": "yes",
    "kind": "command",
    "hosts": "web-1",
    "command": "uptime <&>",
}


async def save(person, fields, path="/recurring", seen="/recurring/new"):
    return await person.post(path, fields, await person.csrf(seen))


async def test_the_form_makes_one_and_the_page_says_when_it_fires(browser, seed, db):
    await seed()
    olga = browser()
    await olga.enter("olga")
    response = await save(olga, FORM)
    assert response.status_code == 303, response.text
    page = response.headers["location"]
    shown = (await olga.get(page)).text
    assert "At 02:30, Europe/Berlin" in shown
    assert "uptime &lt;&amp;&gt;" in shown
    assert "It has not fired yet." in shown
    assert "nightly" in (await olga.get("/recurring")).text


async def test_a_refusal_comes_back_with_every_problem_and_what_was_filled_in(browser, seed):
    await seed()
    olga = browser()
    await olga.enter("olga")
    response = await save(olga, {**FORM, "cron": "@daily", "hosts": "web-9", "max_recurrences": "many"})
    assert response.status_code == 422
    for words in ("Macros are not taken", "There is no host web-9", "must be a whole number", "uptime"):
        assert words in response.text, words


async def test_it_is_run_by_hand_disabled_changed_and_archived(browser, seed, db):
    await seed()
    olga = browser()
    await olga.enter("olga")
    page = (await save(olga, FORM)).headers["location"]
    for deed in ("run", "disable"):
        assert (await save(olga, {"deed": deed}, f"{page}/do", page)).status_code == 303
    shown = (await olga.get(page)).text
    assert "Started by olga." in shown
    assert "Disabled by olga." in shown
    form = (await olga.get(f"{page}/edit")).text
    assert "uptime &lt;&amp;&gt;" in form
    changed = await save(olga, {**FORM, "cron": "0 5 * * *"}, page, f"{page}/edit")
    assert changed.status_code == 303
    assert "At 05:00" in (await olga.get(page)).text
    assert (await save(olga, {"deed": "archive"}, f"{page}/do", page)).status_code == 303
    assert "Nothing recurs yet." in (await olga.get("/recurring")).text


@pytest.mark.parametrize(
    ("kind", "details", "payload"),
    [
        ("service_control", "service = nginx\naction=restart", {"service": "nginx", "action": "restart"}),
        ("process_control", "pid=12\naction=force_kill", {"pid": 12, "action": "force_kill"}),
        (
            "network_diagnostic",
            "action=ping\nhost=db-1\ncount=3",
            {"action": "ping", "host": "db-1", "count": 3},
        ),
        ("software_install", "action=install\npackages=a,b", {"action": "install", "packages": ["a", "b"]}),
        ("user_control", "action=disable\nuser=guest", {"action": "disable", "user": "guest"}),
        (
            "group_control",
            "action=add_members\ngroup=ops\nmembers=ann",
            {"action": "add_members", "group": "ops", "members": ["ann"]},
        ),
    ],
)
async def test_a_job_of_every_type_is_made_recurring_and_changed(browser, seed, db, kind, details, payload):
    await seed()
    olga = browser()
    await olga.enter("olga")
    page = (await save(olga, {**FORM, "kind": kind, "details": details})).headers["location"]
    kept = await db.fetchval("SELECT definition FROM recurring_jobs")
    assert (kept["job"]["type"], kept["job"]["payload"]) == (kind, payload)
    form = (await olga.get(f"{page}/edit")).text
    assert f'<option value="{kind}" selected>' in form
    for name, value in payload.items():
        assert f"{name}={','.join(value) if isinstance(value, list) else value}" in form
    made = await save(olga, {"deed": "run"}, f"{page}/do", page)
    assert made.status_code == 303
    assert await db.fetchval("SELECT type FROM jobs WHERE recurring_job_id IS NOT NULL") == kind


async def test_details_that_can_not_be_read_come_back_with_what_is_wrong(browser, seed):
    await seed()
    olga = browser()
    await olga.enter("olga")
    response = await save(olga, {**FORM, "kind": "service_control", "details": "restart nginx"})
    assert response.status_code == 422
    assert "does not say what it is: restart nginx" in response.text
    nothing = await save(olga, {**FORM, "kind": "service_control", "details": ""})
    assert nothing.status_code == 422


async def test_what_does_not_fit_into_lines_is_shown_as_json(browser, seed, db):
    await seed()
    olga = browser()
    await olga.enter("olga")
    job = '{"type": "software_install", "payload": {"action": "remove", "packages": ["a"]},"priority": "low"}'
    page = (await save(olga, {**FORM, "kind": "job", "job": job})).headers["location"]
    form = (await olga.get(f"{page}/edit")).text
    assert '<option value="software_install" selected>' in form
    assert '<option value="low" selected>' in form
    script = '{"type": "script", "payload": {"language": "bash", "content": "true"}}'
    page = (await save(olga, {**FORM, "name": "other", "kind": "job", "job": script})).headers["location"]
    assert '<option value="job" selected>' in (await olga.get(f"{page}/edit")).text


async def test_the_preview_says_the_next_five_runs_or_what_is_wrong(browser, seed):
    await seed()
    vera = browser()
    await vera.enter("vera")
    shown = (await vera.get("/recurring/preview?cron=0+0+1+1+*&timezone=Asia/Tokyo")).text
    assert shown.count("01-01 00:00 +0900") == 5
    wrong = (await vera.get("/recurring/preview?cron=0+0+31+2+*&timezone=Mars")).text
    assert "It would never fire" in wrong
    assert "There is no such time zone." in wrong


async def test_who_may_only_look_is_offered_nothing_to_change(browser, seed):
    await seed()
    olga, vera = browser(), browser()
    await olga.enter("olga")
    page = (await save(olga, FORM)).headers["location"]
    await vera.enter("vera")
    shown = (await vera.get(page)).text
    assert "Run now" not in shown
    assert (await vera.get("/recurring/new")).status_code == 403


async def test_the_page_of_an_instance_leads_to_what_started_it(browser, seed, db):
    seeded = await seed()
    olga = browser()
    await olga.enter("olga")
    page = (await save(olga, FORM)).headers["location"]
    await db.execute(
        "UPDATE instances SET recurring_job_id = $1 WHERE id = $2",
        int(page.rpartition("/")[2]),
        seeded.instance_id,
    )
    assert f'href="{page}"' in (await olga.get(f"/instances/{seeded.instance_id}")).text
