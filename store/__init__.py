"""PostgreSQL: every fact of Opsgate, and the use-cases that change them.

A public function here is a use-case: it takes an actor, and does permission, guarded move,
audit row and wake-up in one transaction. Pages, API, CLI and engine all call these. Imports
definitions and the agent's contract only; never Prefect or FastAPI.
"""
