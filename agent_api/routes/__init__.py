"""Every router of the API, in one list: what is not here does not exist."""

from agent_api.guarded import GuardedRouter
from agent_api.routes import (
    agent,
    approvals,
    audit,
    executions,
    health,
    hosts,
    instances,
    jobs,
    libraries,
    me,
    notices,
    org_secrets,
    recurring_jobs,
    scripts,
    sessions,
    tokens,
    users,
    workflows,
)

ROUTERS: tuple[GuardedRouter, ...] = (
    agent.router,
    scripts.router,
    libraries.router,
    executions.router,
    jobs.router,
    workflows.router,
    instances.router,
    recurring_jobs.router,
    approvals.router,
    hosts.router,
    users.router,
    tokens.router,
    org_secrets.router,
    audit.router,
    notices.router,
    me.router,
    sessions.router,
    health.router,
)
