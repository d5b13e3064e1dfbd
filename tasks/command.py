"""A command step: one command line per host; values reach it through the environment."""

from agent.payloads import JobPayload
from definitions import variables
from definitions.dispatch import command_payload
from definitions.errors import OpsgateError
from definitions.steps import CommandStep
from store.targets import HostRef
from tasks import host_jobs
from tasks.host_jobs import settle
from tasks.step_run import Settled, StepRun, Waiting

__all__ = ["begin", "settle"]


def shell_of(step: CommandStep, host: HostRef) -> variables.Shell:
    """The shell the step names, or the one its host's operating system has."""
    return step.shell or ("powershell" if host.os == "windows" else "bash")


async def begin(run: StepRun) -> Settled | Waiting:
    """Bind the values once per shell, then dispatch."""
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
    sent = {"command": bound.text, "environment": dict(bound.environment)}
    return await host_jobs.dispatch(run, step, sent, for_host)
