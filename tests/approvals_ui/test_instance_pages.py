"""The list of instances, and one instance step by step."""

import html


async def test_the_list_shows_every_instance_with_its_state(browser, seed):
    seeded = await seed()
    vera = browser()
    await vera.enter("vera")
    shown = (await vera.get("/instances")).text
    assert f"deploy-web #{seeded.instance_id}" in shown
    assert "started by olga" in shown
    assert "paused" in shown


async def test_the_list_can_be_of_one_status(browser, seed):
    await seed()
    vera = browser()
    await vera.enter("vera")
    assert "deploy-web" in (await vera.get("/instances?status=paused")).text
    assert "No instance is so." in (await vera.get("/instances?status=failed")).text


async def test_an_instance_shows_every_step(browser, seed):
    seeded = await seed(stdout="\x1b[32m41 %\x1b[0m used\n")
    vera = browser()
    await vera.enter("vera")
    shown = html.unescape((await vera.get(f"/instances/{seeded.instance_id}")).text)
    assert "Look at the disk" in shown
    assert "41 % used" in shown
    assert "exit code <code>0</code>" in shown
    assert f'href="/approvals/{seeded.request_id}"' in shown
    assert "not reached yet" in shown
    assert "Approval of 'Deploy release 7?' by anna or bert" in shown


async def test_output_that_is_not_kept_whole_says_so(browser, seed, db):
    seeded = await seed(stdout="a lot")
    vera = browser()
    await vera.enter("vera")
    assert "truncated" not in (await vera.get(f"/instances/{seeded.instance_id}")).text
    await db.execute("UPDATE jobs SET stdout_truncated = true")
    shown = (await vera.get(f"/instances/{seeded.instance_id}")).text
    assert "truncated: it printed more than is kept" in shown


async def test_an_instance_links_to_prefects_page_of_its_run(browser, seed, db):
    seeded = await seed()
    vera = browser()
    await vera.enter("vera")
    path = f"/instances/{seeded.instance_id}"
    assert "Run in Prefect" not in (await vera.get(path)).text
    run = await db.fetchval("UPDATE instances SET flow_run_id = gen_random_uuid() RETURNING flow_run_id")
    assert f'href="http://prefect.test:4200/v2/runs/flow-run/{run}"' in (await vera.get(path)).text


async def test_a_step_in_any_state_can_be_shown(browser, seed, db):
    seeded = await seed()
    vera = browser()
    await vera.enter("vera")
    for status in ("waiting", "running", "completed", "failed", "skipped", "cancelled"):
        await db.execute("UPDATE step_results SET status = $1, reason = 'Because <b>.'", status)
        shown = (await vera.get(f"/instances/{seeded.instance_id}")).text
        assert f"step-{status}" in shown
        assert "Because &lt;b&gt;." in shown


async def test_a_step_in_waves_shows_which_hosts_it_has_not_begun_on(browser, seed, db):
    seeded = await seed()
    await db.execute("INSERT INTO hosts (name, os) VALUES ('web-9', 'linux')")
    await db.execute(
        "UPDATE step_results SET host_ids = (SELECT array_agg(id ORDER BY id) FROM hosts), deadline = now() "
        "WHERE kind = 'command'"
    )
    vera = browser()
    await vera.enter("vera")
    path = f"/instances/{seeded.instance_id}"
    assert "Never started on web-9" in (await vera.get(path)).text
    await db.execute("UPDATE step_results SET status = 'running', ended_at = NULL WHERE kind = 'command'")
    shown = (await vera.get(path)).text
    assert "Not begun yet on web-9" in shown
    assert "has time until <time" in shown


async def test_an_instance_is_cancelled_by_form(browser, seed, db):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    path = f"/instances/{seeded.instance_id}"
    response = await anna.post(f"{path}/cancel", {"reason": "wrong release"}, await anna.csrf(path))
    assert response.status_code == 303
    assert "wrong release" in await db.fetchval("SELECT cancel_reason FROM instances")
    assert await db.fetchval("SELECT status FROM approval_requests") == "withdrawn"


async def test_the_list_is_searched_and_keeps_what_was_asked(browser, seed):
    await seed(note="release 7")
    vera = browser()
    await vera.enter("vera")
    asked = "/instances?workflow=deploy-web&host=web-1&started_by=olga&since=2001-01-01&search=RELEASE"
    shown = (await vera.get(asked)).text
    assert "deploy-web #" in shown
    assert 'value="RELEASE"' in shown
    for other in ("&until=2001-01-01", "&host=nowhere", "&search=missing"):
        assert "No instance is so." in (await vera.get(f"/instances?{other}")).text
    assert "deploy-web #" in (await vera.get("/instances?since=soon")).text


async def test_an_instance_shows_what_each_step_was_sent_and_where_it_led(browser, seed, db):
    seeded = await seed()
    sent = {"command": "df -h <b>", "parameters": {"threshold": "90"}}
    await db.execute("UPDATE step_results SET input = $1, routed_to = 'gate' WHERE step_id = 'look'", sent)
    vera = browser()
    await vera.enter("vera")
    shown = html.unescape((await vera.get(f"/instances/{seeded.instance_id}")).text)
    assert "df -h <b>" in shown
    assert "parameters.threshold" in shown
    assert "→ gate" in shown


async def stop(db, instance_id):
    await db.execute("UPDATE step_results SET status = 'cancelled', ended_at = now() WHERE step_id = 'gate'")
    await db.execute("UPDATE approval_requests SET status = 'withdrawn'")
    await db.execute(
        """UPDATE instances SET status = 'cancelled', ended_at = now(), reason = 'Stopped.', frontier = '[]'
           WHERE id = $1""",
        instance_id,
    )


async def test_an_instance_that_was_stopped_goes_on_by_form(browser, seed, db):
    seeded = await seed()
    anna, path = browser(), f"/instances/{seeded.instance_id}"
    await anna.enter("anna")
    csrf = await anna.csrf(path)
    refused = await anna.post(f"{path}/resume", {}, csrf)
    assert refused.status_code == 409
    assert "it goes on by itself" in refused.text.split('role="alert"')[1]
    await stop(db, seeded.instance_id)
    assert 'id="resume-button"' in (await anna.get(path)).text
    assert (await anna.post(f"{path}/resume", {}, csrf)).status_code == 303
    shown = html.unescape((await anna.get(path)).text)
    assert "by anna at gate" in shown
    assert "It had been cancelled: Stopped." in shown


async def test_an_instance_is_run_again_by_form_and_says_of_which_it_is(browser, seed, db):
    seeded = await seed()
    await stop(db, seeded.instance_id)
    anna, path = browser(), f"/instances/{seeded.instance_id}"
    await anna.enter("anna")
    response = await anna.post(f"{path}/rerun", {"same_version": "yes"}, await anna.csrf(path))
    assert response.status_code == 303
    shown = (await anna.get(response.headers["location"])).text
    assert f'<a id="to-first" href="{path}">' in shown


async def test_what_an_instance_gives_back_is_shown(browser, seed, db):
    seeded = await seed()
    await db.execute("UPDATE instances SET outputs = $1", {"ip": "10.0.0.<7>"})
    vera = browser()
    await vera.enter("vera")
    shown = (await vera.get(f"/instances/{seeded.instance_id}")).text
    assert "10.0.0.&lt;7&gt;" in shown


async def test_whoever_only_looks_can_not_cancel(browser, seed, db):
    seeded = await seed()
    vera = browser()
    await vera.enter("vera")
    path = f"/instances/{seeded.instance_id}"
    assert "Cancel this instance" not in (await vera.get(path)).text
    await stop(db, seeded.instance_id)
    assert "resume-button" not in (await vera.get(path)).text
    for verb in ("cancel", "resume", "rerun"):
        assert (await vera.post(f"{path}/{verb}", {}, await vera.csrf(path))).status_code == 403
    assert await db.fetchval("SELECT cancel_requested_at FROM instances") is None


async def test_cancelling_what_has_ended_is_refused_in_words(browser, seed, db):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    path = f"/instances/{seeded.instance_id}"
    csrf = await anna.csrf(path)
    await db.execute("UPDATE instances SET status = 'cancelled', ended_at = now(), reason = 'Stopped.'")
    response = await anna.post(f"{path}/cancel", {}, csrf)
    assert response.status_code == 409
    assert "has ended already" in response.text.split('role="alert"')[1]


async def test_an_instance_that_has_ended_says_why_and_refreshes_no_more(browser, seed, db):
    seeded = await seed()
    vera = browser()
    await vera.enter("vera")
    await db.execute("UPDATE instances SET status = 'cancelled', ended_at = now(), reason = 'Stopped.'")
    shown = (await vera.get(f"/instances/{seeded.instance_id}")).text
    assert "Stopped." in shown
    assert "hx-trigger" not in shown
    assert "not reached yet" not in shown
