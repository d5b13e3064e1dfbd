"""The backbone: every table of the first release, and the moves SQL guards."""

from alembic import op

from store.migrations.sql_file import run_beside

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOVES = {
    "job": [
        ("queued", "pending"),
        ("queued", "cancelled"),
        ("queued", "failed"),
        ("pending", "running"),
        ("pending", "queued"),
        ("pending", "cancelled"),
        ("pending", "failed"),
        ("running", "completed"),
        ("running", "failed"),
        ("running", "timeout"),
        ("running", "cancelled"),
        ("failed", "queued"),
        ("timeout", "queued"),
    ],
    "instance": [
        ("queued", "running"),
        ("queued", "cancelled"),
        ("queued", "failed"),
        ("running", "paused"),
        ("running", "completed"),
        ("running", "failed"),
        ("running", "cancelled"),
        ("paused", "running"),
        ("paused", "cancelled"),
        ("paused", "failed"),
        ("failed", "running"),
        ("cancelled", "running"),
    ],
    "approval": [
        ("pending", "approved"),
        ("pending", "rejected"),
        ("pending", "expired"),
        ("pending", "withdrawn"),
    ],
}


def upgrade() -> None:
    """Create everything, and write down the moves."""
    run_beside(__file__)
    for lifecycle, moves in MOVES.items():
        for from_state, to_state in moves:
            op.execute(
                "INSERT INTO lifecycle_moves (lifecycle, from_state, to_state) "
                f"VALUES ('{lifecycle}', '{from_state}', '{to_state}')"
            )


def downgrade() -> None:
    """There is nothing before the first schema: drop the database instead."""
    raise RuntimeError("0001 is the first schema; drop the database to go back")
