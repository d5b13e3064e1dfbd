"""The operators of conditions where they differ from CEL's, and values as CEL holds them."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

from celpy import celtypes
from celpy.evaluation import CELEvalError, base_functions

from definitions.parameters import Value

NUMBERS = (celtypes.IntType, celtypes.UintType, celtypes.DoubleType)


class Mismatch(TypeError):
    """Two values of types that do not go together; the text names the types, never the values."""


def cel_value(value: Value) -> Any:
    """A JSON value as CEL holds it; whole numbers that CEL can't hold become fractions."""
    if value is None:
        return None
    if isinstance(value, bool):
        return celtypes.BoolType(value)
    if isinstance(value, int):
        return celtypes.IntType(value) if -(2**63) <= value < 2**63 else celtypes.DoubleType(value)
    if isinstance(value, float):
        return celtypes.DoubleType(value)
    if isinstance(value, str):
        return celtypes.StringType(value)
    if isinstance(value, list):
        return celtypes.ListType([cel_value(item) for item in value])
    return celtypes.MapType({celtypes.StringType(key): cel_value(item) for key, item in value.items()})


def kind_name(value: object) -> str:
    """The type of a CEL value, in words."""
    if value is None:
        return "null"
    if isinstance(value, celtypes.BoolType):
        return "a boolean"
    if isinstance(value, NUMBERS):
        return "a number"
    if isinstance(value, celtypes.StringType):
        return "a text"
    if isinstance(value, celtypes.ListType):
        return "a list"
    if isinstance(value, celtypes.MapType):
        return "an object"
    return "a time" if isinstance(value, celtypes.TimestampType | celtypes.DurationType) else "another type"


def equal(left: Any, right: Any) -> bool:
    """Whether two values are equal; different types are an error, but for null."""
    if left is None or right is None:
        return left is right
    if _is_number(left) and _is_number(right):
        return _plain(left) == _plain(right)
    if kind_name(left) != kind_name(right):
        raise Mismatch(f"compares {kind_name(left)} with {kind_name(right)}")
    if isinstance(left, celtypes.ListType):
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, celtypes.MapType):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _is_number(value: object) -> bool:
    return isinstance(value, NUMBERS) and not isinstance(value, celtypes.BoolType)


def _plain(value: Any) -> int | float:
    return float(value) if isinstance(value, celtypes.DoubleType) else int(value)


def _failed(*operands: object) -> CELEvalError | None:
    return next((operand for operand in operands if isinstance(operand, CELEvalError)), None)


def _equality(wanted: bool) -> Callable[[Any, Any], Any]:
    def compare(left: Any, right: Any) -> Any:
        return _failed(left, right) or celtypes.BoolType(equal(left, right) is wanted)

    return compare


def _ordering(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def ordered(left: Any, right: Any) -> Any:
        failure = _failed(left, right)
        if failure is not None:
            return failure
        if _is_number(left) and _is_number(right):
            return celtypes.BoolType(compare(_plain(left), _plain(right)))
        if kind_name(left) != kind_name(right) or kind_name(left) not in ("a text", "a time"):
            raise Mismatch(f"compares {kind_name(left)} with {kind_name(right)}")
        return celtypes.BoolType(compare(left, right))

    return ordered


def _contained(item: Any, container: Any) -> Any:
    failure = _failed(item, container)
    if failure is not None:
        return failure
    if not isinstance(container, celtypes.ListType | celtypes.MapType):
        raise Mismatch(f"looks for {kind_name(item)} in {kind_name(container)}")
    members: Iterable[Any] = container
    mismatch: Mismatch | None = None
    for member in members:
        try:
            if equal(member, item):
                return celtypes.BoolType(True)
        except Mismatch as error:
            mismatch = error
    if mismatch is not None:
        raise mismatch
    return celtypes.BoolType(False)


def _arithmetic(sign: str, calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculated(left: Any, right: Any) -> Any:
        failure = _failed(left, right)
        if failure is not None:
            return failure
        if _is_number(left) and _is_number(right):
            return _number(calculate(_plain(left), _plain(right)))
        kinds = (kind_name(left), kind_name(right))
        if sign == "+" and kinds == ("a text", "a text"):
            return celtypes.StringType(str(left) + str(right))
        if sign == "+" and kinds == ("a list", "a list"):
            return celtypes.ListType([*left, *right])
        if sign in "+-" and kinds == ("a time", "a time"):
            return calculate(left, right)
        raise Mismatch(f"calculates `{sign}` with {kinds[0]} and {kinds[1]}")

    return calculated


def _number(value: int | float) -> Any:
    return celtypes.DoubleType(value) if isinstance(value, float) else celtypes.IntType(value)


def _logic(name: str) -> Callable[[Any, Any], Any]:
    def joined(left: Any, right: Any) -> Any:
        first, second = boolean(left), boolean(right)
        if isinstance(first, CELEvalError) and isinstance(second, CELEvalError):
            return first  # CEL's own puts both into a text, which doubles with every operand
        return base_functions[name](first, second)

    return joined


def boolean(value: Any) -> Any:
    """The value, or an error that the other side of `&&` or `||` may make irrelevant."""
    if isinstance(value, celtypes.BoolType | CELEvalError):
        return value
    return CELEvalError("no such overload", Mismatch, (f"takes {kind_name(value)} for true or false",))


def _not(value: Any) -> Any:
    checked = boolean(value)
    return checked if isinstance(checked, CELEvalError) else celtypes.BoolType(not value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "_==_": _equality(True),
    "_!=_": _equality(False),
    "_<_": _ordering(operator.lt),
    "_<=_": _ordering(operator.le),
    "_>_": _ordering(operator.gt),
    "_>=_": _ordering(operator.ge),
    "_in_": _contained,
    "_+_": _arithmetic("+", operator.add),
    "_-_": _arithmetic("-", operator.sub),
    "_*_": _arithmetic("*", operator.mul),
    "_/_": _arithmetic("/", operator.truediv),
    "_&&_": _logic("_&&_"),
    "_||_": _logic("_||_"),
    "!_": _not,
}
"""Put over CEL's own by the evaluator."""
