"""Moments, lengths of time and values in words a person reads at a glance. Pure."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime


def moment(at: datetime) -> str:
    """A moment in UTC; the page's script shows it in the reader's own zone."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def time_left(deadline: datetime, now: datetime) -> str:
    """What is left until a deadline."""
    seconds = (deadline - now).total_seconds()
    return f"{length(seconds)} left" if seconds > 0 else "deadline passed"


def length(seconds: float) -> str:
    """A length of time in at most two units."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole % 86400 // 3600, whole % 3600 // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {whole % 60} s"
    return f"{whole} s"


def between(started_at: datetime | None, ended_at: datetime | None) -> str:
    """How long something took; nothing while it has not ended."""
    if started_at is None or ended_at is None:
        return ""
    return length((ended_at - started_at).total_seconds())


def flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """Every value of a nested document with its path, so that none stays unseen."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{path}.")
        else:
            yield path, None if value is None else in_json(value)


def in_json(value: object) -> str:
    """A value as text: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
