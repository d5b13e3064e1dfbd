"""A list of declared parameters as a document says it: read, and checked beyond the shape of each."""

from collections.abc import Mapping

from agent.payloads import MAX_SECRETS
from definitions.nearest import pointer_to
from definitions.parameters import Parameter, Unfit, coerce, variable_of
from definitions.problems import Problem
from definitions.reading import read


def read_parameters(document: object, pointer: str) -> tuple[tuple[Parameter, ...], list[Problem]]:
    """The parameters that have the right shape, and every problem of the list."""
    if document is None:
        return (), []
    if not isinstance(document, list):
        return (), [_problem(pointer, "wrong-type", "Parameters are a list.", "Write a list of parameters.")]
    parameters: dict[str, Parameter] = {}
    problems: list[Problem] = []
    for index, item in enumerate(document):
        where = pointer_to(pointer, index)
        parameter, found = read(Parameter, item, where, "parameter")
        problems += [_mended(problem, f"{where}/secret") for problem in found]
        if parameter is not None:
            parameters[where] = parameter
    problems += _together(parameters, pointer)
    return tuple(parameters.values()), problems


def _mended(problem: Problem, pointer: str) -> Problem:
    """Other tools have a flag there; ours is a type, and no key is near enough to be proposed."""
    if problem.pointer != pointer or problem.code != "unknown-key":
        return problem
    return problem.model_copy(update={"fix": "Make the type secret."})


def _together(parameters: Mapping[str, Parameter], pointer: str) -> list[Problem]:
    """What is wrong with parameters, each at its pointer, beyond the shape of each."""
    problems: list[Problem] = []
    variables: dict[str, str] = {}
    seen: set[str] = set()
    for where, parameter in parameters.items():
        variable = variable_of(parameter)
        other = variables.setdefault(variable, parameter.name)
        if other != parameter.name:
            message = f"`{parameter.name}` and `{other}` would both arrive as {variable}."
            problems.append(_problem(f"{where}/name", "name-clash", message, "Rename one of them."))
        elif parameter.name in seen:
            message = f"There are two parameters named `{parameter.name}`."
            problems.append(_problem(f"{where}/name", "duplicate-name", message, "Rename or remove one."))
        seen.add(parameter.name)
        problems += _declared_badly(parameter, where)
    if sum(parameter.type == "secret" for parameter in parameters.values()) > MAX_SECRETS:
        message = f"There are more than {MAX_SECRETS} secrets."
        problems.append(_problem(pointer, "too-many-secrets", message, "Put several values into one."))
    return problems


def _declared_badly(parameter: Parameter, where: str) -> list[Problem]:
    problems: list[Problem] = []
    if parameter.type == "choice" and not parameter.choices:
        message = f"`{parameter.name}` is a choice without choices."
        problems.append(_problem(f"{where}/choices", "no-choices", message, "List the choices."))
    elif parameter.type != "choice" and parameter.choices:
        message = f"`{parameter.name}` has choices, and its type is {parameter.type}."
        problems.append(_problem(f"{where}/choices", "unused-choices", message, "Make the type choice."))
    elif parameter.default is not None:
        if parameter.type == "secret":
            message = f"`{parameter.name}` is a secret with a default, which everybody could read."
            problems.append(_problem(f"{where}/default", "secret-default", message, "Remove the default."))
            return problems
        try:
            coerce(parameter, parameter.default)
        except Unfit as unfit:
            message = f"The default of `{parameter.name}` {unfit}"
            problems.append(_problem(f"{where}/default", "bad-default", message, "Give another default."))
    return problems


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)
