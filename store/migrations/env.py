"""How alembic runs a migration: on the connection that `store.migrate` hands it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
