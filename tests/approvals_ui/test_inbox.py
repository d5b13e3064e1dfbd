"""The inbox: what to decide, and what was decided."""


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
