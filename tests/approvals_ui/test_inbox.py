"""The inbox: what to decide, what I started, and what was decided."""

import html

from definitions.permissions import SYSTEM
from store import approvals, workflows


def section(shown: str, name: str) -> str:
    """The part of the page under a heading."""
    return shown.split(f'aria-labelledby="{name}"')[1].split("</section>")[0]


async def test_what_i_may_decide_comes_first(browser, seed):
    await seed()
    anna = browser()
    await anna.enter("anna")
    shown = (await anna.get("/inbox")).text
    assert "Deploy release 7?" in section(shown, "mine")
    assert 'aria-labelledby="others"' not in shown


async def test_what_others_decide_is_listed_apart(browser, seed):
    await seed()
    vera = browser()
    await vera.enter("vera")
    shown = (await vera.get("/inbox")).text
    assert "Nothing waits for your decision." in section(shown, "mine")
    assert "Deploy release 7?" in section(shown, "others")


async def test_what_was_decided_stays_in_sight(browser, seed):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    await anna.vote(seeded.request_id, "approve")
    shown = (await anna.get("/inbox")).text
    assert "Deploy release 7?" in section(shown, "decided")
    assert "approved" in section(shown, "decided")


async def test_what_i_have_voted_on_waits_for_others(browser, seed):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    await anna.vote(seeded.request_id, "reject", "not yet")
    shown = (await anna.get("/inbox")).text
    assert "Nothing waits for your decision." in section(shown, "mine")
    assert "Deploy release 7?" in section(shown, "others")


async def test_an_inbox_without_anything_says_so(browser, people):
    anna = browser()
    await anna.enter("anna")
    assert "Nothing waits for your decision." in (await anna.get("/inbox")).text


async def test_what_i_started_is_a_view_of_its_own(browser, seed):
    await seed()
    olga, anna = browser(), browser()
    await olga.enter("olga")
    await anna.enter("anna")
    assert "Deploy release 7?" in (await olga.get("/inbox?view=started")).text
    assert "Nothing you started has asked for a decision yet." in (await anna.get("/inbox?view=started")).text


async def test_decided_and_expired_requests_stay_in_the_view_of_all(browser, seed, db):
    rejected, expired, pending = [await seed(note=note) for note in ("no", "too late", "still open")]
    anna = browser()
    await anna.enter("anna")
    await anna.vote(rejected.request_id, "reject")
    await (bert := browser()).enter("bert")
    await bert.vote(rejected.request_id, "reject")
    await db.execute("UPDATE approval_requests SET deadline = now() WHERE id = $1", expired.request_id)
    await approvals.expire_due(db)
    await workflows.archive(db, SYSTEM, pending.workflow_id)
    every = (await anna.get("/inbox?view=all")).text
    assert all(f"Deploy {note}?" in every for note in ("no", "too late", "still open"))
    only = (await anna.get("/inbox?view=all&status=expired")).text
    assert "Deploy too late?" in only
    assert "Deploy no?" not in only
    assert "None is withdrawn." in (await anna.get("/inbox?view=all&status=withdrawn")).text


async def test_older_requests_are_one_link_away_with_the_filter_kept(browser, seed, db):
    seeded = await seed()
    await db.execute(
        """INSERT INTO approval_requests (instance_id, step_id, visit, title, approval_type, quorum, eligible,
               frozen, digest)
           SELECT instance_id, step_id, n + 1, 'Copy ' || n, approval_type, quorum, eligible, frozen, digest
           FROM approval_requests, generate_series(1, 50) n WHERE id = $1""",
        seeded.request_id,
    )
    olga = browser()
    await olga.enter("olga")
    first = (await olga.get("/inbox?view=started&status=pending")).text
    assert "Copy 50" in first
    assert "Deploy release 7?" not in first
    older = html.unescape(first.split('<p><a href="')[1].split('"')[0])
    assert "view=started&status=pending" in older
    assert "Deploy release 7?" in (await olga.get(older)).text


async def test_what_others_decide_is_not_crowded_out_by_what_waits_for_me(browser, seed, db):
    for_others = await seed()
    await db.execute(
        """INSERT INTO approval_requests (instance_id, step_id, visit, title, approval_type, quorum, eligible,
               frozen, digest)
           SELECT instance_id, step_id, 1 + n, 'Mine', 'one_of_many', 1,
                  ARRAY[(SELECT id FROM users WHERE name = 'anna')], '{}', ''
           FROM approval_requests, generate_series(1, 60) n WHERE id = $1""",
        for_others.request_id,
    )
    await db.execute(
        """UPDATE approval_requests SET eligible = ARRAY[(SELECT id FROM users WHERE name = 'olga')]
           WHERE id = $1""",
        for_others.request_id,
    )
    anna = browser()
    await anna.enter("anna")
    shown = (await anna.get("/inbox")).text
    assert "Deploy release 7?" in section(shown, "others")
    assert "Mine" not in section(shown, "others")
