"""In the whole stack: the keeper chains the audit trail, and has notices sent by a process of its own."""

from tests.live.stack import LiveStack, until


def test_what_is_done_is_chained_within_seconds_and_found_whole(live: LiveStack) -> None:
    assert live.admin.post("/tokens", json={"name": "to be audited"}).status_code == 201
    newest = live.admin.get("/audit", params={"action": "token.create"}).json()["items"][0]["id"]

    def chained() -> bool:
        rows, after = [], None
        while True:
            page = live.admin.get("/audit/export", params={"after": after} if after else {}).json()
            rows += [row["id"] for row in page["items"]]
            after = page["next"]
            if after is None:
                return newest in rows

    until(chained, 30, "the row to have a place")
    verdict = live.admin.post("/audit/verify").json()
    assert verdict["good"], verdict
    assert "Signatures were not checked" not in verdict["sentence"]


def test_a_notice_is_tried_by_the_worker_which_does_not_knock_at_its_own_machine(live: LiveStack) -> None:
    body = {"name": "home", "url": "json://127.0.0.1:1/x"}
    channel = live.admin.post("/notice-channels", json=body)
    assert channel.status_code == 201, channel.text
    path = f"/notice-channels/{channel.json()['id']}"
    assert live.admin.post(f"{path}/test").status_code == 202

    def tried() -> bool:
        found = live.admin.get("/notice-deliveries").json()["items"][0]["last_error"]
        return found is not None and "leads to the server itself" in found

    until(tried, 60, "the worker to try it")
    assert live.admin.delete(path).status_code == 204
