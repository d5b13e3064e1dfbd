"""Credentials on the way to an agent: tries at the vault, marks for rotation, new keys of agents."""

from store.migrations.sql_file import run_beside

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the file of the same name, whole."""
    run_beside(__file__)


def downgrade() -> None:
    """A backup is the way back."""
    raise RuntimeError("restore the backup taken before the upgrade")
