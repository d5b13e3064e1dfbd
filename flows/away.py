"""What it looks like when PostgreSQL is restarting, out of reach, or asks to try again."""

import asyncpg

STORE_AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)
"""Wait, then go on from what it has."""
