"""Which version of an identity could not be rotated is kept."""

from store.migrations.sql_file import run_beside

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name, whole."""
    run_beside(__file__)


def downgrade() -> None:
    """A backup is the way back."""
    raise RuntimeError("restore the backup taken before the upgrade")
