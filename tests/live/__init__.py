"""The whole of Opsgate for tests: real PostgreSQL, Prefect server, web, worker and agents."""
