"""Conditions: CEL over bound variables; the text of a value never enters the expression.

`{{x}}`, and `"{{x}}"` just the same, becomes a name bound to the value. Over plain CEL: whole numbers
and fractions compare and calculate with each other, `/` of whole numbers keeps the fraction, any
value may be compared with null, and every other comparison of different types is an error, `==` too.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import celpy
import lark
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

from definitions.condition_operators import FUNCTIONS, Mismatch, cel_value, kind_name
from definitions.condition_types import Kinds, mismatches, unknown_names
from definitions.condition_work import MAX_LENGTH, TooMuchWork, answer, excess
from definitions.errors import Invalid
from definitions.problems import Problem
from definitions.references import REFERENCE, Reference, malformed, references
from definitions.variables import Scope, value_of

_LITERAL = re.compile(
    r'[rR]?"""(?:\\.|[^\\])*?"""|' + r"[rR]?'''(?:\\.|[^\\])*?'''|"
    r'[rR]?"(?:\\.|[^"\\\n])*"|' + r"[rR]?'(?:\\.|[^'\\\n])*'|//[^\n]*",
    re.DOTALL,
)
_LITERAL_OR_NUMBER = re.compile(rf"{_LITERAL.pattern}|(?<![\w.])[0-9]{{1,15}}(?![\w.])", re.DOTALL)
_MEANT = {"=": "==", "and": "&&", "or": "||", "&": "&&", "|": "||"}
"""What other languages write, and what CEL writes for it."""
_QUOTES = "\"'"
_SHOWN = 40
"""Characters of a condition that say where it can't be read."""
# The evaluator logs operands, and an operand is a value.
logging.getLogger("celpy").setLevel(logging.CRITICAL + 1)


class ConditionFailed(Invalid):
    """A condition has no answer; the message names both types when they do not fit."""

    title = "The condition has no answer"


@dataclass(frozen=True)
class _Expression:
    """A condition with its references bound to names."""

    text: str
    bound: dict[str, Reference]


def _bind(condition: str) -> _Expression:
    """Raises `ConditionFailed` when a reference stands inside a longer text."""
    bound: dict[str, Reference] = {}
    prefix = "opsgate_v"
    while prefix in condition:  # what an author calls so is not one of ours
        prefix += "v"

    def name_for(reference: Reference) -> str:
        for name, other in bound.items():
            if other.path == reference.path:
                return f" ({name}) "
        name = f"{prefix}{len(bound) + 1}"
        bound[name] = reference
        return f" ({name}) "

    def in_code(text: str) -> str:
        found = iter(references(text))
        return REFERENCE.sub(lambda _: name_for(next(found)), text)

    pieces: list[str] = []
    done = 0
    for literal in _LITERAL.finditer(condition):
        if REFERENCE.search(condition[done : literal.end()]) is None:
            continue
        pieces.append(in_code(condition[done : literal.start()]))
        inner = references(literal[0])
        if inner and literal[0][1:-1] == inner[0].text:
            pieces.append(name_for(inner[0]))
        elif inner:
            raise ConditionFailed(f"{inner[0].text} stands inside a text or a comment; join texts with +.")
        else:
            pieces.append(literal[0])
        done = literal.end()
    return _Expression("".join([*pieces, in_code(condition[done:])]), bound)


def _compile(text: str, bound: Mapping[str, Reference]) -> lark.Tree[Any]:
    try:
        return celpy.Environment().compile(text)
    except (CELParseError, lark.exceptions.LarkError, RecursionError, ValueError) as error:
        cause = error.__context__
        where = _where(cause, text, bound) if isinstance(cause, lark.UnexpectedInput) else ""
        raise ConditionFailed(f"The condition is not a CEL expression{where}.") from None


def _where(cause: lark.UnexpectedInput, text: str, bound: Mapping[str, Reference]) -> str:
    """Where the reading of an expression has stopped, in its author's words, and what may be meant there."""
    if isinstance(cause, lark.UnexpectedToken) and cause.token.type == "$END":
        return ": it ends too early"
    rest = text[cause.pos_in_stream :]
    for name, reference in bound.items():
        rest = re.sub(rf"\s?\({name}\)\s?", reference.text, rest)
    word = re.split(r"\W", rest, maxsplit=1)[0] or rest[0]
    meant = _MEANT.get(word.lower())
    hint = f": `{meant}` is meant" if meant else ": the text that begins there does not end"
    shown = " ".join(rest.split())
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
    return f" at `{shown}`{hint if meant or word in _QUOTES else ''}"


def check(condition: str, kinds: Kinds | None = None) -> list[Problem]:
    """Everything that can be said against a condition without values; pointers are empty.

    `kinds` says what a reference will hold (number, text, boolean ...), or None when unknown.
    """
    if len(condition) > MAX_LENGTH:
        return [_problem("too-long", f"The condition is longer than {MAX_LENGTH}.", "Shorten it.")]
    bad = malformed(condition)
    if bad:
        fix = "Write {{step_ID.exit_code}} or another reference."
        return [_problem("bad-reference", "The condition has braces that are no reference.", fix)]
    try:
        expression = _bind(condition)
        bound = tuple(expression.bound.items())
        held = tuple((name, kinds(reference) if kinds else None) for name, reference in bound)
        try:
            return list(_check(_without_values(expression.text), held))
        except ConditionFailed:  # to be said of the condition as it is written
            return list(_check(expression.text, held, bound))
    except ConditionFailed as failure:
        fix = "Write for example {{step_ID.exit_code}} == 0."
        return [_problem("bad-condition", failure.message, fix)]


def shape(condition: str) -> str:
    """What of a condition is parsed to check it: equal ones are parsed once. Empty if it is none."""
    try:
        return _without_values(_bind(condition).text) if len(condition) <= MAX_LENGTH else ""
    except ConditionFailed:
        return ""


@lru_cache(maxsize=2048)
def _check(
    text: str, held: tuple[tuple[str, str | None], ...], bound: tuple[tuple[str, Reference], ...] = ()
) -> tuple[Problem, ...]:
    """The same of an expression whose names hold these kinds; a workflow asks most things many times."""
    tree, kinds = _compile(text, dict(bound)), dict(held)
    too_much = list(excess(tree))
    unknown = unknown_names(tree, kinds)
    wrong = mismatches(tree, kinds)
    fix = "Leave the rest to a script step, and use its answer."
    problems = [_problem("too-much-work", message, fix) for message in too_much]
    fix = "Write a reference, or a text in quotes."
    problems += [_problem("unknown-name", f"`{name}` is not known in a condition.", fix) for name in unknown]
    fix = "Compare values of the same type; quotes make a text."
    return (*problems, *(_problem("type-mismatch", message, fix) for message in wrong))


def _without_values(text: str) -> str:
    """The expression with one and the same text and whole number everywhere: nothing that is checked
    hangs on which one it is, and what differs in nothing else is parsed once."""

    def plain(found: re.Match[str]) -> str:
        literal, quote = found[0], found[0][0]
        if literal.isdigit():
            return "0"
        before, after = text[max(0, found.start() - 1) : found.start()], text[found.end() : found.end() + 1]
        joins = before.isalnum() or before in ("_", '"', "'") or after in ('"', "'")
        simple = quote in "\"'" and len(literal) > 2 and literal[1] != quote and "\\" not in literal
        return f"{quote}x{quote}" if simple and not joins else literal

    return _LITERAL_OR_NUMBER.sub(plain, text)


def evaluate(condition: str, scope: Scope) -> bool:
    """Its answer; raises `ConditionFailed` or `Unresolved`."""
    if len(condition) > MAX_LENGTH:
        raise ConditionFailed(f"The condition is longer than {MAX_LENGTH}.")
    expression = _bind(condition)
    tree = _compile(expression.text, expression.bound)
    for refusal in excess(tree):
        raise ConditionFailed(refusal)
    values = {
        name: cel_value(value_of(reference, scope, decides=True))
        for name, reference in expression.bound.items()
    }
    try:
        found = answer(tree, FUNCTIONS, values)
    except TooMuchWork:
        raise ConditionFailed("The condition is too much work with these values.") from None
    except CELEvalError as error:
        raise ConditionFailed(_in_words(error)) from None
    except Exception:  # the evaluator's own failures on odd input; its texts hold values
        raise ConditionFailed("The condition can't be evaluated with these values.") from None
    if not isinstance(found, celpy.celtypes.BoolType):
        raise ConditionFailed(f"The condition gives {kind_name(found)}, not true or false.")
    return bool(found)


def _in_words(error: CELEvalError) -> str:
    """Why, without the values that the evaluator's texts hold."""
    kind = error.args[1] if len(error.args) > 1 else None
    if kind is Mismatch:
        return f"The condition {error.args[2][0]}."
    if kind is ZeroDivisionError:
        return "The condition divides by zero."
    if kind in (KeyError, IndexError):
        return "The condition asks for a member that is not there."
    return "The condition can't be evaluated: its types do not fit, or a number is too large."


def _problem(code: str, message: str, fix: str) -> Problem:
    return Problem(pointer="", code=code, message=message, fix=fix)
