"""The pages, one file each. A page asks the store's use-cases and shows the answer; it holds no rule."""

from agent_api.guarded import GuardedRouter
from approvals_ui.pages import (
    approval,
    credentials,
    home,
    inbox,
    instance,
    instances,
    live,
    recurring,
    settings,
    workflow,
    workflow_versions,
    workflows,
)

ROUTERS: tuple[GuardedRouter, ...] = (
    home.router,
    inbox.router,
    approval.router,
    instances.router,
    instance.router,
    workflows.router,
    workflow.router,
    workflow_versions.router,
    recurring.router,
    credentials.router,
    live.router,
    settings.router,
)
