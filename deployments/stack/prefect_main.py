"""`python -m deployments.stack.prefect_main server start`: Prefect's own command, with our collector.

Nothing else is changed in it; see `store.long_running` for why.
"""

from store.long_running import calm_collector, collector_at_rest

with collector_at_rest():
    from prefect.cli import app

    # What the server consists of, imported before the collector is told to leave it alone.
    from prefect.server.api import server  # noqa: F401

if __name__ == "__main__":
    calm_collector()
    app()
