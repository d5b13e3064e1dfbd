"""The part of the proof about what exists: scripts and their parameters, hosts, people at the gates."""

from collections.abc import Iterator

from definitions.catalogue import ENGINE, NO_ENGINE_STEPS, Catalogue, ScriptFacts
from definitions.nearest import nearest, pointer_to
from definitions.parameters import Parameter, Unfit, Value, coerce, missing, unknown_names
from definitions.problems import Problem, Severity
from definitions.quorum import shortfall
from definitions.references import references
from definitions.secret_values import input_of
from definitions.steps import ApprovalStep, JobStep, PamCheckoutStep, ScriptStep, Step


def check_against(step: Step, where: str, known: Catalogue, secrets: frozenset[str]) -> list[Problem]:
    """Every problem of a step that depends on what exists; `secrets` are the workflow's secret inputs."""
    problems: list[Problem] = []
    if isinstance(step, ScriptStep) and known.scripts is not None:
        problems += _check_script(step, where, known.scripts, secrets)
    if isinstance(step, JobStep) and known.hosts is not None:
        problems += _check_hosts(step, where, known.hosts)
    if isinstance(step, ApprovalStep):
        problems += _check_people(step, where, known)
    return problems


def not_checked(steps: tuple[Step, ...], known: Catalogue) -> list[Problem]:
    """One warning that names the checks that were left out, if any would have applied."""
    left_out: list[str] = []
    if known.scripts is None and any(isinstance(step, ScriptStep) for step in steps):
        left_out.append("scripts and their parameters")
    if known.hosts is None and any(isinstance(step, JobStep) and step.hosts for step in steps):
        left_out.append("hosts")
    if known.people is None and any(isinstance(step, ApprovalStep) for step in steps):
        left_out.append("approvers")
    if known.identities is None and any(isinstance(step, PamCheckoutStep) for step in steps):
        left_out.append("identities")
    if not left_out:
        return []
    message = f"Not checked, since the server was not asked: {', '.join(left_out)}."
    return [_problem("", "not-checked", message, "Publishing checks them.", warning=True)]


def _check_script(
    step: ScriptStep, where: str, scripts: tuple[ScriptFacts, ...], secrets: frozenset[str]
) -> list[Problem]:
    script = next((script for script in scripts if step.script in (script.id, script.name)), None)
    if script is None:
        message = f"There is no script `{step.script}`."
        fix = nearest(str(step.script), [script.name for script in scripts]) or "Save the script first."
        return [_problem(f"{where}/script", "unknown-script", message, fix)]
    pointer = f"{where}/parameters"
    problems = unknown_names(script.parameters, step.parameters, pointer)
    for parameter in script.parameters:
        value = step.parameters.get(parameter.name)
        problems += _check_parameter(parameter, value, pointer_to(pointer, parameter.name), secrets)
    return problems


def _check_parameter(
    parameter: Parameter, value: Value, pointer: str, secrets: frozenset[str]
) -> Iterator[Problem]:
    if value is None:
        if parameter.required and parameter.default is None:
            yield missing(parameter, pointer)
        return
    from_secret = input_of(value) in secrets
    if parameter.type == "secret" and not from_secret:
        message = f"`{parameter.name}` is a secret, and what is given here everybody could read."
        fix = "Declare an input of type secret, and write {{inputs.NAME}} and nothing else."
        yield _problem(pointer, "secret-in-definition", message, fix)
    elif from_secret and parameter.type != "secret":
        message = f"{value} is a secret, and `{parameter.name}` is not: it would be stored and shown."
        fix = f"Make the script's parameter `{parameter.name}` a secret."
        yield _problem(pointer, "secret-misplaced", message, fix)
    elif isinstance(value, list | dict):
        message = f"`{parameter.name}` can't be a list or an object."
        yield _problem(pointer, "bad-value", message, "Give one text, number, or true or false.")
    elif not (isinstance(value, str) and references(value)):
        try:
            coerce(parameter, value)
        except Unfit as unfit:
            yield _problem(pointer, "bad-value", f"`{parameter.name}` {unfit}", "Give another value.")


def _check_hosts(step: JobStep, where: str, hosts: frozenset[str]) -> Iterator[Problem]:
    for index, host in enumerate(step.hosts):
        pointer = pointer_to(where, "hosts", index)
        if str(host).lower() in hosts or host in hosts:
            continue
        if host == ENGINE:
            yield _problem(pointer, *NO_ENGINE_STEPS)
            continue
        if str(host).startswith(("tag:", "group:")):
            message = f"No host has `{host}`."
        else:
            message = f"There is no host `{host}`."
        fix = nearest(str(host), hosts) or "Enrol the host first, or name another."
        yield _problem(pointer, "unknown-host", message, fix)


def _check_people(step: ApprovalStep, where: str, known: Catalogue) -> Iterator[Problem]:
    if known.people is None:
        names = set(step.approvers)
        if (
            step.approval_type == "two_of_many"
            and len(names) == 1
            and not next(iter(names)).startswith("role:")
        ):
            message = "Two people have to approve, and only one is named."
            yield _problem(f"{where}/approvers", "too-few-approvers", message, "Name another, or a role.")
        return
    people: set[int] = set()
    for index, approver in enumerate(step.approvers):
        named = known.people.get(approver, frozenset())
        people |= named
        if not named:
            message = f"`{approver}` names nobody who may approve."
            pointer = pointer_to(where, "approvers", index)
            yield _problem(pointer, "unknown-approver", message, "Name somebody else.", warning=True)
    reason = shortfall(step.approval_type, len(people))
    if reason is not None:
        fix = "Name other approvers, or choose another approval type."
        yield _problem(f"{where}/approvers", "too-few-approvers", reason, fix)
    elif not step.allow_self and len(people) > 1 and shortfall(step.approval_type, len(people) - 1):
        message = "If one of the approvers starts the instance, too few are left: nobody approves their own."
        fix = "Name one more approver, or set `allow_self`."
        yield _problem(f"{where}/approvers", "few-approvers", message, fix, warning=True)


def _problem(pointer: str, code: str, message: str, fix: str, warning: bool = False) -> Problem:
    severity: Severity = "warning" if warning else "error"
    return Problem(pointer=pointer, code=code, message=message, fix=fix, severity=severity)
