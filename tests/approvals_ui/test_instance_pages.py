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
    assert "No instance is failed." in (await vera.get("/instances?status=failed")).text


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
    assert f'href="/prefect/v2/runs/flow-run/{run}"' in (await vera.get(path)).text


async def test_a_step_in_any_state_can_be_shown(browser, seed, db):
    seeded = await seed()
    vera = browser()
    await vera.enter("vera")
    for status in ("waiting", "running", "completed", "failed", "skipped", "cancelled"):
        await db.execute("UPDATE step_results SET status = $1, reason = 'Because <b>.'", status)
        shown = (await vera.get(f"/instances/{seeded.instance_id}")).text
        assert f"step-{status}" in shown
        assert "Because &lt;b&gt;." in shown


async def test_an_instance_is_cancelled_by_form(browser, seed, db):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    path = f"/instances/{seeded.instance_id}"
    response = await anna.post(f"{path}/cancel", {"reason": "wrong release"}, await anna.csrf(path))
    assert response.status_code == 303
    assert "wrong release" in await db.fetchval("SELECT cancel_reason FROM instances")
    assert await db.fetchval("SELECT status FROM approval_requests") == "withdrawn"


async def test_whoever_only_looks_can_not_cancel(browser, seed, db):
    seeded = await seed()
    vera = browser()
    await vera.enter("vera")
    path = f"/instances/{seeded.instance_id}"
    assert "Cancel this instance" not in (await vera.get(path)).text
    assert (await vera.post(f"{path}/cancel", {}, await vera.csrf(path))).status_code == 403
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
