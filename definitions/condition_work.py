"""How much a condition may do: what is refused as written, and the steps of one evaluation counted.

Nothing here looks at the clock: the same condition over the same values always ends alike.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import celpy
import lark
import re2  # type: ignore[import-untyped]  # google-re2 ships no types
from celpy import celtypes
from celpy.evaluation import Activation, CELEvalError, Evaluator, base_functions

from definitions.condition_operators import boolean
from definitions.condition_types import MACROS, nodes

MAX_LENGTH = 2000
MAX_ENTRIES = 100
"""Of a list or an object as it is written."""
MAX_STEPS = 100_000
"""About a second on a slow machine."""
_MEMBERS_A_STEP = 4
_CHARACTERS_A_MEMBER = 1024
_MATCHES_A_STEP = 2000
_BAD_PATTERN = 500
_PATTERN_MEMORY = 1024 * 1024
_NAMES_A_STEP = 16
_TEXT_FUNCTIONS = ("contains", "endsWith", "startsWith")

Tree = lark.Tree[Any]
Function = Callable[..., Any]


class TooMuchWork(Exception):
    """The steps of an evaluation are used up."""


def excess(tree: Tree) -> Iterator[str]:
    """A sentence for everything in a condition that would be too much work, whatever the values."""
    waiting = [(tree, False)]
    while waiting:
        node, inside = waiting.pop()
        if _is_macro(node):
            if inside:
                yield f"`{node.children[1]}` stands inside another `all`, `exists`, `map` or `filter`."
            waiting += [(child, True) for child in node.children[2:]]
            waiting.append((node.children[0], inside))
            continue
        waiting += [(child, inside) for child in node.children if isinstance(child, lark.Tree)]
    for node in nodes(tree):
        entries = {"exprlist": len(node.children), "mapinits": len(node.children) // 2}.get(str(node.data), 0)
        if entries > MAX_ENTRIES:
            yield f"A list in the condition has {entries} entries, more than {MAX_ENTRIES}."


def _is_macro(node: Tree) -> bool:
    has_body = node.data == "member_dot_arg" and len(node.children) > 2
    return has_body and str(node.children[1]) in MACROS and node.children[2] is not None


class Work:
    """What is left to do of one evaluation."""

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Raises `TooMuchWork` when nothing is left."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchWork

    def weigh(self, *values: object) -> None:
        """Spend what looking at every member of the values takes."""
        waiting = list(values)
        members = 0
        while waiting:
            value = waiting.pop()
            members += 1
            if isinstance(value, celtypes.ListType):
                waiting.extend(value)
            elif isinstance(value, celtypes.MapType):
                waiting.extend(value.values())
            elif isinstance(value, str):
                members += len(value) // _CHARACTERS_A_MEMBER
            if members > _MEMBERS_A_STEP * self.left:
                raise TooMuchWork
        self.spend(members // _MEMBERS_A_STEP)

    def counted(self, function: Function) -> Function:
        """The function, whose operands are weighed first."""

        def weighed(*operands: Any) -> Any:
            self.weigh(*operands)
            return function(*operands)

        return weighed

    def matches(self, text: Any, pattern: Any) -> Any:
        """CEL's `matches`; at its worst it tries every part of the pattern at every character."""
        for operand in (text, pattern):
            if not isinstance(operand, celtypes.StringType):
                return CELEvalError("no such overload", TypeError, ())
        options = re2.Options()
        options.max_mem = _PATTERN_MEMORY
        options.log_errors = False
        self.weigh(text, pattern)
        try:
            compiled = re2.compile(str(pattern), options)
        except re2.error:
            self.spend(_BAD_PATTERN)
            return CELEvalError("match error", ValueError, ())
        self.spend(compiled.programsize * (100 + len(text)) // _MATCHES_A_STEP)
        return celtypes.BoolType(compiled.search(str(text)) is not None)


class _Counting(Evaluator):
    """The evaluator, which stops when the work is too much."""

    def __init__(self, ast: Tree, activation: Activation, work: Work, names: int) -> None:
        super().__init__(ast, activation)
        self.work = work
        self.names = names

    def sub_evaluator(self, ast: Tree) -> Evaluator:
        return _Counting(ast, self.activation, self.work, self.names)

    def evaluate(self, context: Any = None) -> Any:
        self.work.spend(1 + self.names // _NAMES_A_STEP)  # every entry's turn copies the names
        return super().evaluate(context)

    def build_ss_macro_eval(self, child: Tree) -> Function:
        """Of `all` and `exists`: the first entry without an answer counts, later ones change nothing."""
        inner = super().build_ss_macro_eval(child)
        neutral = celtypes.BoolType(str(child.children[1]) == "all")
        failed = False

        def entry(value: Any) -> Any:
            nonlocal failed
            found = boolean(inner(value))
            if not isinstance(found, CELEvalError):
                return found
            earlier, failed = failed, True
            return neutral if earlier else found

        return entry

    def visit_children(self, tree: Tree) -> list[Any]:
        self.work.spend(1)
        return super().visit_children(tree)

    def exprlist(self, tree: Tree) -> Any:
        return self._weighed(super().exprlist(tree))

    def mapinits(self, tree: Tree) -> Any:
        return self._weighed(super().mapinits(tree))

    def member_dot_arg(self, tree: Tree) -> Any:
        return self._weighed(super().member_dot_arg(tree))

    def _weighed(self, value: Any) -> Any:
        self.work.weigh(value)
        return value


def answer(tree: Tree, functions: Mapping[str, Function], values: dict[str, Any]) -> Any:
    """What a compiled condition gives; raises `TooMuchWork`, and whatever the evaluator raises."""
    work = Work()
    known = {**{name: base_functions[name] for name in _TEXT_FUNCTIONS}, **functions}
    counted = {name: work.counted(function) for name, function in known.items()}
    counted["matches"] = work.matches
    runner = celpy.Environment().program(tree, functions=counted)
    return _Counting(tree, runner.new_activation(), work, len(values)).evaluate(values)
