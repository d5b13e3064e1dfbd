"""Secret parameters and inputs: which they are, what is shown of them, and the one way to pass one on.

A secret value goes from an input of type secret to a parameter of type secret, as `{{inputs.NAME}}`
and nothing else. It stands in no payload, no scope of references and no text.
"""

from collections.abc import Mapping, Sequence

from definitions.nearest import pointer_to
from definitions.parameters import Parameter, Value, text_of, variable_of
from definitions.problems import Problem
from definitions.references import references

MASK = "***"
"""What stands where a secret value was given."""


class SecretValues(dict[str, str]):
    """Secret values by name; what is printed of it are the names."""

    def __repr__(self) -> str:
        return f"SecretValues({', '.join(self)})"


def names(parameters: Sequence[Parameter]) -> frozenset[str]:
    """The secret ones."""
    return frozenset(parameter.name for parameter in parameters if parameter.type == "secret")


def masked(parameters: Sequence[Parameter], values: Mapping[str, Value]) -> dict[str, Value]:
    """Bound values as they may be kept and shown."""
    secret = names(parameters)
    return {name: MASK if name in secret and value is not None else value for name, value in values.items()}


def given(parameters: Sequence[Parameter], values: Mapping[str, Value]) -> SecretValues:
    """The secret ones of bound values that are set, by name."""
    set_ones = {name: values[name] for name in sorted(names(parameters)) if values.get(name) is not None}
    return SecretValues({name: text_of(value) for name, value in set_ones.items()})


def given_again(
    parameters: Sequence[Parameter], shown: Mapping[str, Value], anew: Mapping[str, Value]
) -> tuple[dict[str, Value], list[Problem]]:
    """The inputs that an instance that has ended was given, with its secret ones from `anew`, as they are
    not kept; and what is wrong with that."""
    secret = [name for name in sorted(names(parameters)) if shown.get(name) is not None]
    problems = [
        Problem(
            pointer=pointer_to("/inputs", name),
            code="secret-erased",
            message=f"`{name}` was a secret, which is not kept once an instance has ended.",
            fix="Give it again.",
        )
        for name in secret
        if anew.get(name) is None
    ]
    problems += [
        Problem(
            pointer=pointer_to("/inputs", name),
            code="not-given-again",
            message=f"`{name}` was given when the instance was started, and stays so.",
            fix="Leave it out, or start the workflow with other inputs.",
        )
        for name in anew
        if name not in secret
    ]
    kept = {name: value for name, value in shown.items() if value is not None}
    return {**kept, **{name: anew[name] for name in secret if name in anew}}, problems


def laid_open(
    before: Sequence[Parameter], now: Sequence[Parameter], values: Mapping[str, Value]
) -> list[Problem]:
    """A problem for every value that was given as a secret, and would be kept and shown from now on."""
    shown = {parameter.name for parameter in now} - names(now)
    return [
        Problem(
            pointer=pointer_to("/inputs", name),
            code="no-secret-any-more",
            message=f"`{name}` was a secret, and is an input that is kept and shown by now.",
            fix="Start the workflow with other inputs.",
        )
        for name in sorted(names(before) & shown)
        if values.get(name) is not None
    ]


def by_variable(parameters: Sequence[Parameter], values: Mapping[str, Value]) -> SecretValues:
    """The same by the variable that will say where the script reads each."""
    found = given(parameters, values)
    return SecretValues({variable_of(each): found[each.name] for each in parameters if each.name in found})


def input_of(template: Value) -> str | None:
    """The input that a template is, if it is `{{inputs.NAME}}` and nothing else."""
    if not isinstance(template, str):
        return None
    found = references(template)
    if len(found) != 1 or found[0].text != template or found[0].root != "inputs" or len(found[0].path) != 2:
        return None
    return found[0].path[1]
