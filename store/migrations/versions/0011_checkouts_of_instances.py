"""Workflows check out: jobs that go on with a checkout that has ended are found at once."""

from store.migrations.sql_file import run_beside

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name, whole."""
    run_beside(__file__)


def downgrade() -> None:
    """A backup is the way back."""
    raise RuntimeError("restore the backup taken before the upgrade")
