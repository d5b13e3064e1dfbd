"""The engine on Prefect: compiled flows, the warm worker, the keeper.

The only package besides `tasks` and `deployments` that imports prefect.
"""
