"""Jobs run as identities: by a checkout of their instance or by one of their own."""

from store.migrations.sql_file import run_beside

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name, whole."""
    run_beside(__file__)


def downgrade() -> None:
    """A backup is the way back."""
    raise RuntimeError("restore the backup taken before the upgrade")
