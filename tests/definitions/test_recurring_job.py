"""The document of a recurring job."""

from datetime import UTC, datetime

import pytest

from definitions.recurring_job import parse_recurring_job, read_recurring_job

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
JOB = {"type": "command", "hosts": ["web-1"], "payload": {"command": "uptime"}}
DOCUMENT: dict[str, object] = {"kind": "recurring_job", "name": "nightly", "cron": "0 2 * * *", "job": JOB}


def test_a_recurring_job_is_read_and_written_back() -> None:
    more = {"timezone": "Europe/Berlin", "end_date": "2027-01-31T00:00:00+01:00", "max_recurrences": 10}
    made, problems = parse_recurring_job({**DOCUMENT, **more}, NOW)
    assert problems == []
    assert made is not None
    assert (made.overlap, made.catch_up, made.enabled) == ("allow", "skip", True)
    assert parse_recurring_job(made.document(), NOW) == (made, [])


def test_one_that_was_saved_is_read_after_its_end_date() -> None:
    ended = {**DOCUMENT, "end_date": "2026-01-01T00:00:00+00:00"}
    made, problems = read_recurring_job(ended)
    assert (made is not None, problems) == (True, [])


def test_a_workflow_is_made_recurring_as_well() -> None:
    document = {**DOCUMENT, "job": None, "workflow": {"name": "deploy", "inputs": {"who": "all"}}}
    made, problems = parse_recurring_job(document, NOW)
    assert problems == []
    assert made is not None
    assert made.workflow is not None
    assert (made.workflow.name, made.workflow.hosts, made.job) == ("deploy", (), None)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"cron": "0 0 31 2 *"}, ("cron-never", "/cron")),
        ({"cron": None}, ("missing-field", "/cron")),
        ({"cron": 5}, ("wrong-type", "/cron")),
        ({"cron": "@daily"}, ("cron-macro", "/cron")),
        ({"timezone": "Mars/Base"}, ("unknown-timezone", "/timezone")),
        ({"end_date": "2026-01-01T00:00:00Z"}, ("end-date-past", "/end_date")),
        ({"end_date": "2027-01-01T00:00:00"}, ("no-offset", "/end_date")),
        ({"max_recurrences": 0}, ("out-of-range", "/max_recurrences")),
        ({"overlap": "queue"}, ("unknown-word", "/overlap")),
        ({"workflow": {"name": "w"}}, ("job-or-workflow", "")),
        ({"job": None}, ("job-or-workflow", "")),
        ({"job": {**JOB, "hosts": []}}, ("empty", "/job/hosts")),
        ({"job": {**JOB, "type": "cobol"}}, ("unknown-job-type", "/job/type")),
        ({"job": {**JOB, "payload": {}}}, ("missing-field", "/job/payload/command")),
        ({"job": None, "workflow": {"nam": "w", "name": "w"}}, ("unknown-key", "/workflow/nam")),
        ({"kind": "workflow"}, ("wrong-kind", "/kind")),
        ({"name": "7"}, ("bad-name", "/name")),
    ],
)
def test_a_mistake_is_named(change: dict[str, object], found: tuple[str, str]) -> None:
    made, problems = parse_recurring_job({**DOCUMENT, **change}, NOW)
    assert made is None
    assert [(problem.code, problem.pointer) for problem in problems] == [found]


def test_all_mistakes_are_named_at_once() -> None:
    wrong = {"name": "", "cron": "0 0 31 2 *", "timezone": "x", "max": 1, "job": {"type": "command"}}
    _, problems = parse_recurring_job(wrong, NOW)
    assert [problem.pointer for problem in problems] == ["/max", "/name", "/cron", "/timezone", "/job/hosts"]


@pytest.mark.parametrize("document", [None, [], {"cron": float("nan")}])
def test_what_is_no_recurring_job_is_refused(document: object) -> None:
    assert parse_recurring_job(document, NOW)[0] is None


def test_the_parameters_of_a_saved_script_are_left_to_the_store() -> None:
    job = {"type": "script", "hosts": ["web-1"], "payload": {"script": "disk-check", "parameters": {}}}
    assert parse_recurring_job({**DOCUMENT, "job": job}, NOW)[1] == []
