"""A script step: the pinned version of a saved script, its parameters resolved, one job a host."""

from agent.payloads import JobPayload
from definitions import parameters, secret_values, variables
from definitions.dispatch import script_payload
from definitions.errors import Invalid, OpsgateError
from definitions.parameters import Value
from definitions.script import Script
from definitions.steps import ScriptStep
from store import libraries, sealed_values
from store.engine import facts
from store.job_checkouts import ScriptRun
from store.targets import HostRef
from tasks import host_jobs
from tasks.host_jobs import Plan
from tasks.step_run import Settled, StepRun, Waiting, failed


async def begin(run: StepRun) -> Settled | Waiting:
    """Resolve, bind, dispatch."""
    return await host_jobs.begin(run, _plan)


async def settle(run: StepRun) -> Settled | Waiting:
    """Once all jobs have ended."""
    return await host_jobs.settle(run, _plan)


async def _plan(run: StepRun) -> Plan | Settled:
    """The script with its parameters; whatever is wrong with the values fails the step before any job."""
    step = run.step
    assert isinstance(step, ScriptStep)
    found = await facts.pinned_script(run.db, run.situation.pinned_scripts, step.script)
    if found is None:
        return failed(f"The script {step.script!r} was not there when the instance started.")
    script_id, version, script = found
    try:
        given = await _given(run, step, script)
        values, problems = parameters.bind(script.parameters, given, "/parameters")
        if problems:
            raise Invalid(f"The parameters do not fit the script {script.name!r}.", problems)
        linked = await libraries.pinned(run.db, run.situation.pinned_libraries, script)
        payload = script_payload(
            script, values, libraries=[each.library for each in linked], timeout_seconds=step.timeout_seconds
        )
    except OpsgateError as error:
        return host_jobs.refused(error, {"script": script.name})
    shown = secret_values.masked(script.parameters, values)
    sent = {"script": script.name, "version": version, "parameters": shown}

    def for_host(_host: HostRef) -> JobPayload:
        return payload

    secrets = secret_values.by_variable(script.parameters, values)
    ran = libraries.record(linked)
    own = None
    if script.run_as is not None and step.run_as is None:
        own = ScriptRun(script_id, version, script, ran, shown, ())
    return Plan(sent, for_host, (script_id, version, ran), secrets, own)


async def _given(run: StepRun, step: ScriptStep, script: Script) -> dict[str, Value]:
    """The step's parameters, resolved. What references see has a mark in the place of a secret input:
    its value is opened here only, for the parameter of type secret that it is given to."""
    given = variables.resolve(dict(step.parameters), run.scope())
    assert isinstance(given, dict)
    inputs = secret_values.names(run.situation.workflow.inputs)
    sources = {name: secret_values.input_of(template) for name, template in step.parameters.items()}
    passed = {name: source for name, source in sources.items() if source in inputs}
    opened = await sealed_values.of_instance(run.db, run.situation.instance_id) if passed else {}
    for name, source in passed.items():
        if name not in secret_values.names(script.parameters):
            raise Invalid(f"`{name}` of the script {script.name!r} is no secret any more, and is given one.")
        given[name] = opened.get(source or "")
    return given
