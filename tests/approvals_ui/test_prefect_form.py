"""What may be asked of Prefect through us, and the resume form: pure, and from the store alone.

Prefect itself is out of reach in these tests, which shows what does not depend on it. The real server and
its two user interfaces are in tests/acceptance/test_prefect_dashboards.py.
"""

import uuid
from typing import Any

import httpx2
import pytest

from approvals_ui.frozen import host_names, host_notes
from approvals_ui.prefect import allowed, places
from definitions.permissions import SYSTEM
from store import approvals, users
from store.approval_views import ApprovalView
from store.askers import Hand
from store.connection import Database
from tests.approvals_ui.conftest import ORIGIN, Seed

FROM_HERE = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
ID = "0190163d-8694-739b-aea5-966c26f8ad90"


@pytest.mark.parametrize(
    "path",
    [
        "block_documents/filter",
        f"block_documents/{ID}",
        "variables/name/key",
        f"flow_runs/{ID}/input/park-1-response",
        f"flow_runs/{ID}/input/suspended-park-1-response",
        f"flow_runs/{ID}/resume",
        f"flow_runs/{ID}/",
        f"flow_runs/{ID}/../../admin/settings",
        f"FLOW_RUNS/{ID}",
        "work_pools/..",
        "work_pools/a/b",
        "work_pools/opsgate/get_scheduled_flow_runs",
        "collections/views/aggregate-worker-metadata",
        "ui/schemas/validate",
        "admin/settings",
        "",
    ],
)
def test_what_is_not_listed_does_not_reach_prefect(path: str):
    assert not any(allowed.may_read(method, path) for method in ("GET", "POST", "PUT", "DELETE"))
    assert allowed.may_read("GET", f"flow_runs/{ID}")  # the control
    assert allowed.may_read("POST", "flow_runs/filter")
    assert allowed.may_read("GET", "events/filter/next")


def test_a_refused_write_says_where_it_is_done():
    assert "Cancel it in Opsgate" in allowed.elsewhere("POST", f"flow_runs/{ID}/set_state")
    assert "Nothing is deleted" in allowed.elsewhere("DELETE", f"flow_runs/{ID}")
    assert "Start workflows in Opsgate" in allowed.elsewhere("POST", f"deployments/{ID}/create_flow_run")
    assert "Deployments follow" in allowed.elsewhere("PATCH", f"deployments/{ID}")
    assert "Prefect's command line" in allowed.elsewhere("DELETE", "work_pools/opsgate")
    assert "vaults" in allowed.elsewhere("POST", "block_documents/")
    assert "Change things in Opsgate" in allowed.elsewhere("POST", "automations/")


def test_scripts_of_the_dashboards_may_call_what_is_under_prefect_and_no_more():
    policy = places.policy("opsgate.test:8080")
    assert "connect-src opsgate.test:8080/prefect/;" in policy
    assert "'self'" not in policy
    assert "connect-src 'self'" in places.policy("[::1]:8080")
    assert "evil" not in places.policy("a; script-src evil.test")


class Dashboard:
    """A person whose browser shows Prefect's page of one run."""

    def __init__(self, client: httpx2.AsyncClient, run: uuid.UUID) -> None:
        self.client = client
        self.path = f"/prefect/api/flow_runs/{run}"

    async def form(self) -> dict[str, Any]:
        answer = await self.client.get(f"{self.path}/input/suspended-park-1-schema")
        assert answer.status_code == 200, answer.text
        fields: dict[str, Any] = answer.json()["properties"]
        return fields

    async def description(self) -> str:
        text: str = (await self.client.get(f"{self.path}/input/suspended-park-1-description")).json()
        return text

    async def resume(self, **fields: Any) -> httpx2.Response:
        body = {"run_input": fields}
        return await self.client.post(f"{self.path}/resume", json=body, headers=FROM_HERE)

    async def decide(self, decision: str, comment: str = "") -> httpx2.Response:
        request = (await self.form())["request"]["default"]
        return await self.resume(request=request, decision=decision, comment=comment)


@pytest.fixture
def at(db: Database, browser):
    """Puts a person in front of the run of an instance."""

    async def open_page(name: str, instance_id: int) -> Dashboard:
        run = uuid.UUID(int=instance_id)
        await db.execute("UPDATE instances SET flow_run_id = $2 WHERE id = $1", instance_id, run)
        someone = browser()
        await someone.enter(name)
        return Dashboard(someone.client, run)

    return open_page


def reason(answer: httpx2.Response) -> str:
    """What Prefect's dialog shows, and stays open."""
    said = answer.json()
    assert (answer.status_code, said["status"], said["state"]) == (200, "REJECT", None)
    assert said["details"]["type"] == "reject_details"
    text: str = said["details"]["reason"]
    return text


async def test_the_form_counts_as_the_signed_in_persons_vote_even_while_prefect_is_away(db, seed: Seed, at):
    seeded = await seed()
    anna = await at("anna", seeded.instance_id)
    answer = await anna.decide("approve", "looks good")
    assert (answer.status_code, answer.json()["status"]) == (201, "ACCEPT")
    vote = await db.fetchrow("SELECT user_id, decision, comment, via FROM votes")
    assert tuple(vote) == (seeded.people["anna"], "approve", "looks good", "prefect")
    assert await db.fetchval("SELECT wake_seq FROM instances WHERE id = $1", seeded.instance_id) > 0


async def test_a_no_decides_as_well(db, seed: Seed, at):
    seeded = await seed()
    for name in ("anna", "bert"):
        await (await at(name, seeded.instance_id)).decide("reject")
    assert await db.fetchval("SELECT status FROM approval_requests") == "rejected"


async def test_the_same_form_sent_twice_is_one_vote_and_another_decision_is_refused(db, seed: Seed, at):
    seeded = await seed()
    anna = await at("anna", seeded.instance_id)
    request = (await anna.form())["request"]["default"]
    answers = [await anna.resume(request=request, decision="approve") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert await db.fetchval("SELECT count(*) FROM votes") == 1
    assert "votes are final" in reason(await anna.resume(request=request, decision="reject"))


async def test_a_vote_that_does_not_decide_is_counted_and_says_how_many_there_are(db, seed: Seed, at):
    seeded = await seed()
    await db.execute("UPDATE approval_requests SET approval_type = 'two_of_many', quorum = 2")
    first = reason(await (await at("anna", seeded.instance_id)).decide("approve"))
    assert first.startswith("Your vote is counted")
    assert "1 of 2" in first
    assert (await (await at("bert", seeded.instance_id)).decide("approve")).status_code == 201


@pytest.mark.parametrize(("name", "why"), [("olga", "You started this"), ("vera", "lacks the permission")])
async def test_who_may_not_decide_reads_why_in_the_form_and_when_they_send_it(db, seed: Seed, at, name, why):
    seeded = await seed()
    someone = await at(name, seeded.instance_id)
    assert name == "vera" or why in await someone.description()
    assert why in reason(await someone.decide("approve"))
    assert await db.fetchval("SELECT count(*) FROM votes") == 0


async def test_an_answer_to_what_was_asked_before_is_not_counted_for_what_is_asked_now(db, seed: Seed, at):
    seeded = await seed()
    anna = await at("anna", seeded.instance_id)
    before = (await anna.form())["request"]["default"]
    await db.execute("UPDATE approval_requests SET title = 'Delete everything?'")
    assert "has changed" in reason(await anna.resume(request=before, decision="approve"))
    await db.execute("UPDATE approval_requests SET digest = repeat('0', 64)")
    assert "has changed" in reason(await anna.decide("approve"))
    assert await db.fetchval("SELECT count(*) FROM votes") == 0


async def test_with_several_gates_open_the_form_asks_which_and_fills_in_none(db, seed: Seed, at):
    seeded = await seed()
    await db.execute(
        """INSERT INTO approval_requests (instance_id, step_id, visit, title, approval_type, quorum, eligible,
               frozen, digest) SELECT instance_id, 'other', 1, 'The other?', approval_type, quorum, eligible,
               frozen, digest FROM approval_requests"""
    )
    anna = await at("anna", seeded.instance_id)
    asked = (await anna.form())["request"]
    assert "default" not in asked
    assert len(asked["enum"]) == 2
    assert reason(await anna.resume(decision="approve")) == "Choose what you decide on."
    assert (await anna.resume(decision="approve", request=asked["enum"][1])).status_code == 201
    decided = await db.fetch("SELECT step_id, status FROM approval_requests ORDER BY id")
    assert [tuple(row) for row in decided] == [("gate", "pending"), ("other", "approved")]


async def test_the_form_says_who_resumed_the_instance_that_wants_to_check_out(seed: Seed, at, db: Database):
    seeded = await seed()
    anna = await at("anna", seeded.instance_id)
    assert "resumed by" not in await anna.description()
    hands = [Hand(person=1, name="olga", did="started"), Hand(person=2, name="bert", did="resumed")]
    frozen = {"checkout": {"set_going": [hand.model_dump() for hand in hands]}}
    await db.execute("UPDATE approval_requests SET frozen = (frozen::jsonb || $1::jsonb)::json", frozen)
    assert "started by olga, resumed by bert. Hosts: web-1." in (await anna.description()).replace(
        "\u2060", ""
    )


async def test_the_form_shows_what_the_store_holds_as_plain_text(seed: Seed, at):
    seeded = await seed(note="**bold** <img src=x> [a](http://evil.test)\u202e")
    text = (await (await at("anna", seeded.instance_id)).description()).replace("\u2060", "")
    assert r"**Deploy \*\*bold\*\* \<img src=x\> \[a\]\(http://evil.test\)⟨U\+202E⟩?**" in text.replace(
        "\u2060", ""
    )
    assert f"{ORIGIN}/approvals/{seeded.request_id}" in text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"run_input": []}',
        b'{"run_input": {"decision": "maybe"}}',
        b'{"run_input": {"decision": {"__prefect_kind": "jinja", "template": "approve"}}}',
        b"[" * 60_000,
        b"\xff",
    ],
)
async def test_a_form_of_any_content_is_answered_in_words(seed: Seed, at, body: bytes):
    seeded = await seed()
    anna = await at("anna", seeded.instance_id)
    assert reason(await anna.client.post(f"{anna.path}/resume", content=body, headers=FROM_HERE))


async def test_a_run_of_somebody_elses_and_an_instance_without_a_gate_decide_nothing(db, seed: Seed, at):
    seeded = await seed()
    anna = await at("anna", seeded.instance_id)
    foreign = Dashboard(anna.client, uuid.UUID(ID))
    assert "no instance of Opsgate's" in reason(await foreign.resume(decision="approve"))
    await db.execute("DELETE FROM approval_requests")
    assert "Nothing waits for a decision" in reason(await anna.resume(decision="approve"))


NOT_FROM_HERE: list[dict[str, str]] = [
    {},
    {"Origin": ORIGIN},
    {"Sec-Fetch-Site": "same-origin"},
    {"Origin": "http://evil.test", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
    {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
    {"Origin": ORIGIN, "Sec-Fetch-Site": "none"},
]


async def test_a_resume_that_another_site_caused_is_refused(db, seed: Seed, at):
    seeded = await seed()
    anna = await at("anna", seeded.instance_id)
    body = {"run_input": {"request": (await anna.form())["request"]["default"], "decision": "approve"}}
    for headers in NOT_FROM_HERE:
        answer = await anna.client.post(f"{anna.path}/resume", json=body, headers=headers)
        assert (answer.status_code, list(answer.json())) == (403, ["detail"]), headers
    assert await db.fetchval("SELECT count(*) FROM votes") == 0
    assert (await anna.client.post(f"{anna.path}/resume", json=body, headers=FROM_HERE)).status_code == 201


async def test_nobody_looks_without_signing_in_and_the_permission(db, browser, people):
    stranger = browser()
    sent = await stranger.get("/prefect/v2/runs")
    assert sent.headers["location"] == "/sign-in?next=%2Fprefect%2Fv2%2Fruns"
    asked = await stranger.get("/prefect/api/health")
    assert (asked.status_code, list(asked.json())) == (401, ["detail"])
    await users.create(db, SYSTEM, "nobody", None, None, [])
    await stranger.enter("nobody")
    for path in ("/prefect/", "/prefect/ui-settings", "/prefect/api/health", "/prefect/assets/index.js"):
        assert (await stranger.get(path)).status_code == 403


async def test_while_prefect_is_away_people_get_a_page_and_scripts_a_sentence(browser, people):
    anna = browser()
    await anna.enter("anna")
    shown = await anna.get("/prefect/v2/dashboard")
    assert (shown.status_code, shown.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "approvals can be given there" in shown.text
    assert "unsafe" not in shown.headers["content-security-policy"]
    said = await anna.get("/prefect/api/health")
    assert (said.status_code, list(said.json())) == (503, ["detail"])


async def test_a_question_to_prefect_has_a_limit(browser, people):
    anna = browser()
    await anna.enter("anna")
    long = await anna.client.post("/prefect/api/flows/filter", content=b" " * 70_000, headers=FROM_HERE)
    assert (long.status_code, long.json()["detail"]) == (422, "A question to Prefect has at most 64 KiB.")


async def test_a_refused_write_names_the_instance(seed: Seed, at):
    seeded = await seed()
    anna = await at("anna", seeded.instance_id)
    refused = await anna.client.post(f"{anna.path}/set_state", json={}, headers=FROM_HERE)
    assert refused.status_code == 409
    assert f"Cancel it in Opsgate: {ORIGIN}/instances/{seeded.instance_id}." in refused.json()["detail"]


async def test_the_votes_of_page_and_form_are_one(db, seed: Seed, at):
    seeded = await seed()
    anna = await users.actor_of(db, seeded.people["anna"])
    view = await approvals.show(db, anna, seeded.request_id)
    form = await at("anna", seeded.instance_id)
    name = (await form.form())["request"]["default"]
    await approvals.vote(db, anna, seeded.request_id, "approve", "on the page", view.digest)
    assert (await form.resume(request=name, decision="approve")).status_code == 201
    assert await db.fetchval("SELECT comment FROM votes") == "on the page"


def test_the_hosts_named_are_those_of_the_steps_a_yes_reaches():
    ahead = [{"step": "a", "hosts": ["db-1", "db-2"]}, {"step": "b", "hosts": ["db-2"], "hosts_note": "gone"}]
    view = ApprovalView.model_construct(frozen={"hosts": ["web-1"], "ahead": ahead})
    assert (host_names(view), host_notes(view)) == (["db-1", "db-2"], ["gone"])
    alone = ApprovalView.model_construct(frozen={"hosts": ["web-1"], "ahead": []})
    assert (host_names(alone), host_notes(alone)) == (["web-1"], [])
