"""A migration that is an SQL file: how its statements are run."""

from pathlib import Path

from alembic import op
from sqlalchemy.util import await_only


def run_beside(module: str) -> None:
    """Run the SQL file of the same name as a migration (`__file__`), whole. It holds many statements: only
    the driver's own call takes them at once."""
    sql = Path(module).with_suffix(".sql").read_text(encoding="utf-8")
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("a migration needs a connection")
    await_only(driver.execute(sql))
