"""When a credential that could not be replaced is tried again, and when it is given up. Pure."""

from datetime import timedelta

PAUSES = (5, 20, 60, 300, 900)
"""Seconds before the second and every further try: a vault that is being restarted is back by then."""


def pause(failures: int) -> timedelta | None:
    """How long to wait after so many failed tries in a row; None: the identity is quarantined."""
    return timedelta(seconds=PAUSES[failures - 1]) if failures <= len(PAUSES) else None
