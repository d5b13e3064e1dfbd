"""Scripts, libraries and executions over REST, as a program meets them."""

import json
from typing import Any

import httpx2
import pytest

LIBRARY = {"name": "lib", "language": "bash", "content": "greet() { echo hello; }"}
SCRIPT = {"name": "greeting", "language": "bash", "content": "greet", "libraries": ["lib"]}


@pytest.fixture
async def greeting(operator: httpx2.AsyncClient) -> dict[str, Any]:
    assert (await operator.post("/api/v1/libraries", json=LIBRARY)).status_code == 201
    reply = await operator.post("/api/v1/scripts", json=SCRIPT)
    assert reply.status_code == 201, reply.text
    view: dict[str, Any] = reply.json()
    return view


async def printed(served: Any, job: int, *chunks: bytes) -> None:
    offset = 0
    for seq, data in enumerate(chunks):
        await served.db.execute(
            """INSERT INTO job_output (job_id, attempt, stream, seq, byte_offset, data)
               VALUES ($1, 1, 'stdout', $2, $3, $4)""",
            job,
            seq,
            offset,
            data,
        )
        offset += len(data)
    await served.db.execute("UPDATE jobs SET status = 'pending' WHERE id = $1", job)
    await served.db.execute(
        "UPDATE jobs SET status = 'running', stdout_length = $2 WHERE id = $1", job, offset
    )
    await served.db.execute("UPDATE jobs SET status = 'failed', exit_code = 1 WHERE id = $1", job)


async def test_a_library_lives_as_a_script_does(operator: httpx2.AsyncClient) -> None:
    made = await operator.post("/api/v1/libraries", json=LIBRARY)
    assert (made.status_code, made.json()["definition"]["content"]) == (201, LIBRARY["content"])
    again = await operator.put("/api/v1/libraries/by-name/lib", json=LIBRARY)
    changed = await operator.put("/api/v1/libraries/lib", json={**LIBRARY, "content": "greet() { echo hi; }"})
    assert (again.status_code, changed.json()["version"]) == (200, 2)
    diff = (await operator.get("/api/v1/libraries/lib/versions/1/diff/2")).json()
    assert "+greet() { echo hi; }" in diff["content"]
    back = await operator.post("/api/v1/libraries/lib/rollback", json={"version": 1})
    assert (back.json()["version"], back.json()["definition"]["content"]) == (3, LIBRARY["content"])
    assert await versions(operator, "libraries/lib") == ([3, 2, 1], None)
    assert (await operator.delete("/api/v1/libraries/lib")).status_code == 204
    assert (await operator.get("/api/v1/libraries")).json()["items"] == []
    assert (await operator.get("/api/v1/libraries?archived=true")).json()["items"][0]["name"] == "lib"


async def test_a_library_that_is_needed_says_by_whom(
    operator: httpx2.AsyncClient, greeting: dict[str, Any]
) -> None:
    refused = await operator.delete("/api/v1/libraries/lib")
    assert (refused.status_code, "'greeting'" in refused.json()["detail"]) == (409, True)


async def test_a_definition_that_is_wrong_is_refused_with_pointers(operator: httpx2.AsyncClient) -> None:
    bad = await operator.post("/api/v1/libraries", json={**LIBRARY, "language": "cobol"})
    assert (bad.status_code, bad.json()["problems"][0]["pointer"]) == (422, "/language")
    other = await operator.put("/api/v1/libraries/by-name/else", json=LIBRARY)
    assert (other.status_code, "address says" in other.json()["detail"]) == (422, True)
    unlinked = await operator.post("/api/v1/scripts", json={**SCRIPT, "libraries": ["nothing"]})
    assert (unlinked.status_code, unlinked.json()["problems"][0]["pointer"]) == (422, "/libraries/0")


async def test_a_run_its_results_and_running_it_again(
    served: Any, operator: httpx2.AsyncClient, viewer: httpx2.AsyncClient, greeting: dict[str, Any]
) -> None:
    made = await operator.post("/api/v1/scripts/greeting/execute", json={"hosts": ["web-1"]})
    assert made.status_code == 201
    (job,) = made.json()["jobs"]
    shown = (await viewer.get(f"/api/v1/jobs/{job}")).json()
    assert [(library["name"], library["version"]) for library in shown["libraries"]] == [("lib", 1)]
    await printed(served, job, b"so f", b"ar \xff")
    listed = await viewer.get(
        "/api/v1/scripts/greeting/executions?search=far&status=failed&since=2020-01-01T00:00:00Z"
    )
    (row,) = listed.json()["items"]
    assert (row["id"], row["host"], row["exit_code"], row["stdout"]) == (job, "web-1", 1, "so far \ufffd")
    again = await operator.post(f"/api/v1/executions/{made.json()['execution']}/rerun", json={})
    assert again.status_code == 201
    view = (await viewer.get(f"/api/v1/executions/{again.json()['execution']}")).json()
    assert (view["rerun_of"], view["jobs"], view["libraries"][0]["name"]) == (
        made.json()["execution"],
        {"queued": 1},
        "lib",
    )


@pytest.mark.parametrize(
    "query", ["since=2026-01-01T00:00:00", "until=0001-01-01T00:00:00%2B14:00", "limit=0"]
)
async def test_the_window_of_executions_is_that_of_every_list(
    viewer: httpx2.AsyncClient, greeting: dict[str, Any], query: str
) -> None:
    assert (await viewer.get(f"/api/v1/scripts/greeting/executions?{query}")).status_code == 422


async def test_output_is_a_file_to_keep_and_never_a_page(
    served: Any, operator: httpx2.AsyncClient, viewer: httpx2.AsyncClient, greeting: dict[str, Any]
) -> None:
    made = (await operator.post("/api/v1/scripts/greeting/execute", json={"hosts": ["web-1"]})).json()
    (job,) = made["jobs"]
    await printed(served, job, b"<script>alert(1)</script>\r\n\xff")
    for path, kind, name in (
        (f"/jobs/{job}/output/download?stream=stdout", "text/plain", f"job-{job}-attempt-1-stdout.txt"),
        (
            f"/executions/{made['execution']}/download",
            "application/jsonl",
            f"execution-{made['execution']}.jsonl",
        ),
    ):
        answer = await viewer.get(f"/api/v1{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        whole = answer.content
        if kind == "text/plain":
            assert whole == b"<script>alert(1)</script>\r\n\xff"
        else:
            assert json.loads(whole)["stdout"] == "<script>alert(1)</script>\r\n\ufffd"
    assert (await viewer.get("/api/v1/jobs/999/output/download")).status_code == 404
    assert (await viewer.get("/api/v1/executions/999/download")).status_code == 404


async def test_versions_come_page_by_page(operator: httpx2.AsyncClient) -> None:
    for number in range(3):
        await operator.put("/api/v1/libraries/by-name/lib", json={**LIBRARY, "content": f"echo {number}"})
        steps = [{"id": "wait", "type": "delay", "seconds": number + 1}]
        await operator.put("/api/v1/workflows/by-name/w?publish=true", json={"name": "w", "steps": steps})
    for path in ("libraries/lib", "workflows/w"):
        assert await versions(operator, path, limit=2) == ([3, 2], "2")
        assert await versions(operator, path, limit=2, after="2") == ([1], None)
        wrong = await operator.get(f"/api/v1/{path}/versions", params={"after": "x"})
        assert (wrong.status_code, wrong.json()["problems"][0]["code"]) == (422, "bad-cursor")


async def versions(
    operator: httpx2.AsyncClient, path: str, **window: str | int
) -> tuple[list[int], str | None]:
    """The numbers on a page of versions, and its cursor."""
    page = (await operator.get(f"/api/v1/{path}/versions", params=window)).json()
    return [row["version"] for row in page["items"]], page["next"]
