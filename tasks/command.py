"""A command step: one command line per host; values reach it through the environment."""

from collections.abc import Collection
from functools import cache
from typing import Any

from agent.payloads import JobPayload
from definitions import variables
from definitions.dispatch import command_payload
from definitions.steps import CommandStep
from definitions.variables import BoundCommand
from store.targets import HostRef
from tasks import host_jobs
from tasks.host_jobs import Plan
from tasks.step_run import Settled, StepRun, Waiting


def shell_of(step: CommandStep, host: HostRef) -> variables.Shell:
    """The shell the step names, or the one its host's operating system has."""
    return step.shell or ("powershell" if host.os == "windows" else "bash")


async def begin(run: StepRun) -> Settled | Waiting:
    """Bind the values, then dispatch."""
    return await host_jobs.begin(run, _plan)


async def settle(run: StepRun) -> Settled | Waiting:
    """Once all jobs have ended."""
    return await host_jobs.settle(run, _plan)


async def _plan(run: StepRun) -> Plan:
    """The command with its values bound, once per shell among the hosts."""
    step = run.step
    assert isinstance(step, CommandStep)
    scope = run.scope()

    @cache
    def bound(shell: variables.Shell) -> BoundCommand:
        return variables.bind_command(step.command, shell, scope)

    def for_host(host: HostRef) -> JobPayload:
        shell = shell_of(step, host)
        return command_payload(bound(shell).text, bound(shell).environment, shell, step.timeout_seconds)

    def sent_to(hosts: Collection[HostRef]) -> dict[str, Any]:
        shells = sorted({shell_of(step, host) for host in hosts})
        texts = {shell: bound(shell).text for shell in shells}
        return {
            "command": texts if len(texts) > 1 else texts[shells[0]],
            "environment": dict(bound(shells[0]).environment),  # a value has the same name in each
        }

    return Plan({"command": step.command}, for_host, sent_to=sent_to)
