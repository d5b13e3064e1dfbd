"""The NOTIFY channels: hints that a fact was written. Nothing depends on one arriving."""

JOBS = "opsgate_jobs"
"""Payload: host id. A job was queued, or a cancel asked for, on this host."""

INSTANCES = "opsgate_instances"
"""Payload: instance id. Something this instance waits for has happened."""

OUTBOX = "opsgate_outbox"
"""Payload: empty. The keeper has something to carry to Prefect."""

RUNS = "opsgate_runs"
"""Payload: empty. A flow run was scheduled: workers poll Prefect now."""

EVENTS = "opsgate_events"
"""Payload: `instance:<id>`, `job:<id>`, `approval:<id>` or `recurring_job:<id>`. A page that shows it should
look again."""


def telling(kind: str, id_column: str) -> str:
    """SQL for the RETURNING of the statement that changes a thing: tells the pages that show it."""
    return f"pg_notify('{EVENTS}', '{kind}:' || {id_column})"
