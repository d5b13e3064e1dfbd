"""A recurring job: its model, and how a document becomes one, with every problem found.

What it dispatches is either a job or a workflow. Whether hosts, scripts and the workflow exist is asked of
the store; when it fires is definitions.recurrence, what a tick leads to is definitions.due_ticks.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from definitions.cron import parse_cron
from definitions.job_types import read_payload
from definitions.names import Name, check_kind, check_name
from definitions.problems import Problem, has_errors
from definitions.reading import kind_of, not_json, read
from definitions.recurrence import parse_zone

Overlap = Literal["allow", "skip"]
CatchUp = Literal["skip", "one", "all"]
_Host = Annotated[str, Field(min_length=1, max_length=300)]
_Whole = Annotated[int, Field(strict=True, ge=1)]


class JobTemplate(BaseModel):
    """The job of each tick: one per host."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    hosts: Annotated[tuple[_Host, ...], Field(min_length=1)]
    payload: dict[str, Any] = Field(default_factory=dict)
    priority: Literal["critical", "high", "normal", "low"] | None = None


class WorkflowTemplate(BaseModel):
    """The workflow that each tick starts, as it is published then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    hosts: tuple[_Host, ...] = ()
    inputs: dict[str, Any] = Field(default_factory=dict)


_TEMPLATES: dict[str, type[BaseModel]] = {"job": JobTemplate, "workflow": WorkflowTemplate}


class RecurringJob(BaseModel):
    """What a recurring job's file says; exactly one of `job` and `workflow` is set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    cron: str
    timezone: str = "UTC"
    max_recurrences: _Whole | None = None
    end_date: datetime | None = None
    overlap: Overlap = "allow"
    catch_up: CatchUp = "skip"
    catch_up_limit: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10
    enabled: Annotated[bool, Field(strict=True)] = True
    job: JobTemplate | None = None
    workflow: WorkflowTemplate | None = None

    def document(self) -> dict[str, object]:
        """The canonical document: `parse_recurring_job` gives this one back for it."""
        return {"kind": "recurring_job", **self.model_dump(mode="json", exclude_none=True)}


def parse_recurring_job(document: object, now: datetime) -> tuple[RecurringJob | None, list[Problem]]:
    """The recurring job, if the document has the right shape and can still fire, and every problem."""
    odd = not_json(document)
    if odd or not isinstance(document, dict):
        message = f"A recurring job is an object with named fields, not {kind_of(document)}."
        wrong = Problem(pointer="", code="wrong-type", message=message, fix="Write `name`, `cron` and `job`.")
        return None, odd or [wrong]
    fields = {key: value for key, value in document.items() if value is not None and key != "kind"}
    problems = [*check_kind(document, "recurring_job"), *check_name(document)]
    what = {key: fields.pop(key) for key in ("job", "workflow") if key in fields}
    made, found = read(RecurringJob, fields, "", "recurring job")
    problems += [*found, *_what_problems(what)]
    for key, parse in (("cron", parse_cron), ("timezone", parse_zone)):
        if isinstance(fields.get(key), str):
            problems += parse(fields[key])[1]
    if made is not None and made.end_date is not None:
        problems += _end_date_problems(made.end_date, now)
    templates = {kind: read(_TEMPLATES[kind], what[kind], f"/{kind}", kind) for kind in what}
    problems += [problem for _, found in templates.values() for problem in found]
    problems += _payload_problems(templates)
    if made is None or has_errors(problems):
        return None, problems
    return made.model_copy(update={kind: template for kind, (template, _) in templates.items()}), problems


def read_recurring_job(document: object) -> tuple[RecurringJob | None, list[Problem]]:
    """The same where nobody knows the time, or it was judged before: its end date may have passed."""
    return parse_recurring_job(document, _EVER)


_EVER = datetime.min.replace(tzinfo=UTC)


def _what_problems(what: Mapping[str, object]) -> list[Problem]:
    if len(what) == 1:
        return []
    message = "There is neither a job nor a workflow." if not what else "There are both a job and a workflow."
    fix = "Write one of `job` and `workflow`."
    return [Problem(pointer="", code="job-or-workflow", message=message, fix=fix)]


def _payload_problems(templates: Mapping[str, tuple[BaseModel | None, list[Problem]]]) -> list[Problem]:
    job = templates.get("job", (None, []))[0]
    if not isinstance(job, JobTemplate) or job.payload.keys() & {"script", "script_id"}:
        return []  # of a saved script the store knows the parameters
    return [
        problem.model_copy(update={"pointer": f"/job{problem.pointer}"})
        for problem in read_payload(job.type, job.payload)[1]
    ]


def _end_date_problems(end_date: datetime, now: datetime) -> list[Problem]:
    def problem(code: str, message: str, fix: str) -> list[Problem]:
        return [Problem(pointer="/end_date", code=code, message=message, fix=fix)]

    if end_date.utcoffset() is None:
        message = "The end date does not say its offset from UTC."
        return problem("no-offset", message, "Write it like 2027-01-31T00:00:00+01:00.")
    if end_date <= now:
        return problem("end-date-past", "The end date is in the past.", "Give a later one, or none.")
    return []
