"""The migrations, found by alembic; a package so that the wheel carries them."""
