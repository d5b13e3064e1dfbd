"""A script's executions as people see them: results by host, filtered, searched in what was printed.

Changes nothing. A search looks at bytes, whole streams at a time: neither where a chunk ends nor bytes
that are no UTF-8 hide a text. It is bounded: one page looks at SEARCH_BYTES of output at most and its
cursor goes on from there, so a page may hold less than its limit, or nothing, and not be the last.
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, JsonValue

from definitions.errors import Invalid
from definitions.permissions import Actor, require
from definitions.problems import Problem
from store import job_tails, job_views, pages, references, scripts
from store.connection import Database, Row, Tx
from store.job_views import JobRow, LibraryRef
from store.names import normalise
from store.pages import Page

SEARCH_BYTES = 64 * 1024 * 1024
SEARCH_JOBS = 1000
"""What a page of a search looks at; more than the output of one job."""
SEARCH_CHARACTERS = 200


class ExecutionRow(JobRow):
    """What a script did on one host."""

    stdout: str
    """The last few kilobytes; all of it is at the job, and in the download."""
    stderr: str


class ExecutionView(BaseModel):
    """What was run together, by hand."""

    model_config = ConfigDict(frozen=True)

    id: int
    script_id: int
    script: str
    script_version: int
    parameters: dict[str, JsonValue]
    libraries: list[LibraryRef]
    rerun_of: int | None
    created_by: str
    created_at: datetime
    jobs: dict[str, int]
    """How many there are in each status."""


async def show(db: Database, actor: Actor, execution_id: int) -> ExecutionView:
    """One execution; its results by host are a `listing`."""
    require(actor, "scripts.view")
    row = await db.fetchrow(
        """SELECT e.id, e.script_id, s.name AS script, e.script_version, e.parameters, e.rerun_of,
                  e.created_by_name AS created_by, e.created_at,
                  coalesce((SELECT j.libraries FROM jobs j
                            WHERE j.execution_id = e.id ORDER BY j.id LIMIT 1), '[]') AS libraries,
                  (SELECT coalesce(jsonb_object_agg(c.status, c.n), '{}')
                   FROM (SELECT j.status, count(*) AS n FROM jobs j
                         WHERE j.execution_id = e.id GROUP BY j.status) c) AS jobs
           FROM executions e JOIN scripts s ON s.id = e.script_id WHERE e.id = $1""",
        execution_id,
    )
    if row is None:
        raise references.missing("execution", execution_id)
    return ExecutionView(**row)


async def listing(
    db: Database,
    actor: Actor,
    ref: int | str,
    *,
    status: Sequence[str] = (),
    host: int | str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    who: str | None = None,
    execution: int | None = None,
    search: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[ExecutionRow]:
    """What a script did on hosts, by hand or in a workflow, the newest first; `until` is excluded."""
    require(actor, "scripts.view")
    condition = """j.script_id = $1 AND j.id < $2 AND (cardinality($3::text[]) = 0 OR j.status = ANY($3))
        AND ($4::text IS NULL OR h.id::text = $4 OR h.name = $4)
        AND ($5::timestamptz IS NULL OR j.created_at >= $5) AND ($6::timestamptz IS NULL OR j.created_at < $6)
        AND ($7::text IS NULL OR j.created_by_name = $7) AND ($8::bigint IS NULL OR j.execution_id = $8)"""
    async with db.connection() as tx:
        script = await scripts.find(tx, ref)
        name = None if host is None else normalise(str(host))
        person = None if who is None else normalise(who)
        given = (script["id"], pages.before(after), list(status), name, since, until, person, execution)
        if search is not None:
            return await _searched(tx, condition, given, _bytes(search), limit)
        rows = await tx.fetch(
            f"{job_views.SELECT} WHERE {condition} ORDER BY j.id DESC LIMIT $9",
            *given,
            pages.bounded(limit) + 1,
        )
        page = pages.cut([job_views.row_view(row) for row in rows], limit, lambda job: job.id)
        return Page(items=await _with_output(tx, page.items), next=page.next)


def _bytes(search: str) -> bytes:
    if 0 < len(search) <= SEARCH_CHARACTERS:
        return search.encode("utf-8", "surrogatepass")
    message = f"A text to search for has 1 to {SEARCH_CHARACTERS} characters."
    problem = Problem(pointer="/search", code="bad-search", message=message, fix="Search for another text.")
    raise Invalid(message, [problem])


async def _searched(
    tx: Tx, condition: str, given: Sequence[object], wanted: bytes, limit: int
) -> Page[ExecutionRow]:
    candidates = await tx.fetch(
        f"""SELECT j.id, j.attempt, j.stdout_length + j.stderr_length AS bytes
            FROM jobs j JOIN hosts h ON h.id = j.host_id WHERE {condition} ORDER BY j.id DESC LIMIT $9""",
        *given,
        SEARCH_JOBS + 1,
    )
    looked_at: list[Row] = []
    left = SEARCH_BYTES
    for job in candidates[:SEARCH_JOBS]:
        left -= job["bytes"]
        if left < 0 and looked_at:
            break
        looked_at.append(job)
    found = await tx.fetch(
        f"""{job_views.SELECT} WHERE j.id IN (
                SELECT o.job_id FROM job_output o
                JOIN unnest($1::bigint[], $2::int[]) AS w (id, attempt)
                  ON o.job_id = w.id AND o.attempt = w.attempt
                GROUP BY o.job_id, o.stream
                HAVING position($3::bytea IN string_agg(o.data, ''::bytea ORDER BY o.seq)) > 0)
            ORDER BY j.id DESC LIMIT $4""",
        [job["id"] for job in looked_at],
        [job["attempt"] for job in looked_at],
        wanted,
        pages.bounded(limit) + 1,
    )
    page = pages.cut([job_views.row_view(row) for row in found], limit, lambda job: job.id)
    last = str(looked_at[-1]["id"]) if len(looked_at) < len(candidates) else None
    return Page(items=await _with_output(tx, page.items), next=page.next or last)


async def _with_output(tx: Tx, found: Sequence[JobRow]) -> list[ExecutionRow]:
    tails = await job_tails.tails(tx, [(job.id, job.attempt) for job in found])
    return [
        ExecutionRow(
            **job.model_dump(),
            stdout=tails.get((job.id, "stdout"), ""),
            stderr=tails.get((job.id, "stderr"), ""),
        )
        for job in found
    ]
