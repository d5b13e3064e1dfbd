"""What an instance did, step by step, as text. Asks nobody; what users and hosts wrote is made harmless."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from deployments.cli.output import cell, print_table

_OUTPUT = 200
"""Characters of a job's output in one line."""


def print_steps(instance: Mapping[str, Any]) -> None:
    """The table of an instance's steps with their results."""
    titles = ("step", "kind", "status", "took", "result", "next", "why")
    rows = [
        (
            step["step_id"],
            step["kind"],
            step["status"],
            _took(step),
            "\n".join(_results(step)) or str(step.get("outcome") or ""),
            step.get("routed_to"),
            _why(step),
        )
        for step in instance["steps"]
    ]
    print_table(titles, rows)


def _why(step: Mapping[str, Any]) -> str:
    """Why a step did not go well, or why a condition decided so; of the others the result says enough."""
    plain = step["status"] == "completed" and step["kind"] not in ("condition", "approval")
    return "" if plain else str(step.get("reason") or "")


def print_detail(instance: Mapping[str, Any]) -> None:
    """Every step: its input as sent, its result on each host, how long it took, why it led where it did."""
    for title in ("inputs", "outputs"):
        for line in _values(instance.get(title) or {}):
            print(f"{title:<9}{line}")
    for resumed in instance.get("resumes") or []:
        before = f"it had ended as {resumed['was']}: {resumed['reason']}".rstrip(": ")
        print(cell(f"resumed by {resumed['by']} at {', '.join(resumed['steps'])}; {before}"))
    for step in instance["steps"]:
        visit = f" (visit {step['visit']})" if step["visit"] > 1 else ""
        led = f" -> {step['routed_to']}" if step.get("routed_to") else ""
        took = _took(step)
        print(
            f"\n{cell(step['step_id'])}{visit}  {step['kind']}, {step['status']}{took and f' in {took}'}{led}"
        )
        for line in _values(step.get("input") or {}):
            print(f"  sent    {line}")
        for line in _results(step):
            print(f"  result  {cell(line)}")
        if step.get("reason"):
            print(f"  why     {cell(step['reason'])}")


def _checkout(checkout: Mapping[str, Any]) -> str:
    """A step's checkout: which, as whom, and how it stands."""
    found = (
        f"{checkout['identity']} (checkout {checkout['id']}, as {checkout['username']}): {checkout['status']}"
    )
    until = f" until {checkout['deadline']}" if checkout["status"] == "active" else ""
    return f"{found}{until}. {checkout['waits'] or checkout['end_reason']}".rstrip(". ")


def _values(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        yield f"{cell(str(name))} = {cell(value)}"


def _results(step: Mapping[str, Any]) -> Iterator[str]:
    """Per job the host, exit code and the output's beginning; of a checkout how it stands."""
    if step.get("checkout"):
        yield _checkout(step["checkout"])
    for job in step.get("jobs") or []:
        attempt = f" attempt {job['attempt']}" if job.get("attempt", 1) > 1 else ""
        exit_code = f"exit {job['exit_code']}" if job.get("exit_code") is not None else job["status"]
        output = " ".join(str(job.get("waits") or job.get("stdout") or "").split())
        yield f"{job['host']}{attempt} {exit_code}: {output[:_OUTPUT]}"
    for host in step.get("not_started") or []:
        yield f"{host['name']}: not started"


def _took(step: Mapping[str, Any]) -> str:
    if not step.get("ended_at"):
        return ""
    begun, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "ended_at"))
    return f"{(ended - begun).total_seconds():.1f} s"
