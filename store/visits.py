"""Some visits of an instance's steps, as a condition on what belongs to them (jobs, requests, results)."""

from collections.abc import Sequence

from definitions.routing import Active

Visits = Sequence[Active]

OF_VISITS = "($2::text[] IS NULL OR (step_id, visit) IN (SELECT * FROM unnest($2::text[], $3::int[])))"
"""With `columns` as $2 and $3."""


def columns(visits: Visits | None) -> tuple[list[str] | None, list[int] | None]:
    """The arguments of `OF_VISITS`; None means any visit of any step."""
    if visits is None:
        return None, None
    return [each.step for each in visits], [each.visit for each in visits]
