"""A command step: one command line per host; values reach it through the environment."""

from agent.payloads import JobPayload
from definitions import variables
from definitions.dispatch import command_payload
from definitions.errors import OpsgateError
from definitions.steps import CommandStep
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


async def _plan(run: StepRun) -> Plan | Settled:
    """The command with its values bound, once per shell."""
    step = run.step
    assert isinstance(step, CommandStep)
    scope = run.scope()

    def for_host(host: HostRef) -> JobPayload:
        shell = shell_of(step, host)
        bound = variables.bind_command(step.command, shell, scope)
        return command_payload(bound.text, bound.environment, shell, step.timeout_seconds)

    try:
        bound = variables.bind_command(step.command, step.shell or "bash", scope)
    except OpsgateError as error:
        return host_jobs.refused(error, {"command": step.command})
    return Plan({"command": bound.text, "environment": dict(bound.environment)}, for_host)
