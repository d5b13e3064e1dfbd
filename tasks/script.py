"""A script step: the pinned version of a saved script, its parameters resolved, one job a host."""

from agent.payloads import JobPayload
from definitions import parameters, variables
from definitions.dispatch import script_payload
from definitions.errors import Invalid, OpsgateError
from definitions.steps import ScriptStep
from store import libraries
from store.engine import facts
from store.targets import HostRef
from tasks import host_jobs
from tasks.host_jobs import settle
from tasks.step_run import Settled, StepRun, Waiting, failed

__all__ = ["begin", "settle"]


async def begin(run: StepRun) -> Settled | Waiting:
    """Resolve, bind, dispatch; whatever is wrong with the values fails the step before any job exists."""
    step = run.step
    assert isinstance(step, ScriptStep)
    found = await facts.pinned_script(run.db, run.situation.pinned_scripts, step.script)
    if found is None:
        return failed(f"The script {step.script!r} was not there when the instance started.")
    script_id, version, script = found
    try:
        given = variables.resolve(dict(step.parameters), run.scope())
        assert isinstance(given, dict)
        values, problems = parameters.bind(script.parameters, given, "/parameters")
        if problems:
            raise Invalid(f"The parameters do not fit the script {script.name!r}.", problems)
        linked = await libraries.pinned(run.db, run.situation.pinned_libraries, script)
        payload = script_payload(
            script, values, libraries=[each.library for each in linked], timeout_seconds=step.timeout_seconds
        )
    except OpsgateError as error:
        return host_jobs.refused(error, {"script": script.name})
    sent = {"script": script.name, "version": version, "parameters": _shown(script.parameters, values)}

    def for_host(_host: HostRef) -> JobPayload:
        return payload

    return await host_jobs.dispatch(run, step, sent, for_host, (script_id, version, libraries.record(linked)))


def _shown(
    declared: tuple[parameters.Parameter, ...], values: dict[str, parameters.Value]
) -> dict[str, object]:
    secret = {parameter.name for parameter in declared if parameter.type == "secret"}
    return {name: "***" if name in secret else value for name, value in values.items()}
