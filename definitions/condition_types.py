"""What a condition says about types before there are values: names nobody knows, unlike compared."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import lark

from definitions.references import Reference

Kinds = Callable[[Reference], str | None]
"""What a reference will hold: number, text, boolean; None when that is not known."""
Held = Mapping[str, str | None]
"""The same by the name that a reference is bound to."""

COMPARISONS = ("relation_lt", "relation_le", "relation_gt", "relation_ge", "relation_eq", "relation_ne")
MACROS = frozenset(["all", "exists", "exists_one", "filter", "map", "reduce", "min"])
TYPE_NAMES = frozenset(
    ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "type", "timestamp", "duration"]
)
LITERALS = {
    "INT_LIT": "number",
    "UINT_LIT": "number",
    "FLOAT_LIT": "number",
    "STRING_LIT": "text",
    "MLSTRING_LIT": "text",
    "BOOL_LIT": "boolean",
    "NULL_LIT": "null",
}

Tree = lark.Tree[Any]


def unknown_names(tree: Tree, bound: Iterable[str]) -> list[str]:
    """Names that are no reference, no variable of a macro and no type."""
    known = set(bound) | TYPE_NAMES | set(_macro_variables(tree))
    return list(dict.fromkeys(name for name in _names(tree) if name not in known))


def nodes(tree: Tree) -> Iterator[Tree]:
    """Every node, a node before what is in it, from left to right."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in reversed(node.children) if isinstance(child, lark.Tree)]


def _names(tree: Tree) -> Iterator[str]:
    for node in nodes(tree):
        if node.data in ("ident", "dot_ident"):
            yield str(node.children[0])


def _macro_variables(tree: Tree) -> Iterator[str]:
    for node in nodes(tree):
        if node.data == "member_dot_arg" and str(node.children[1]) in MACROS and len(node.children) > 2:
            arguments = node.children[2]
            for argument in arguments.children if isinstance(arguments, lark.Tree) else ():
                yield from _names(argument) if _is_name(argument) else ()


def _is_name(tree: Tree) -> bool:
    return bool(_innermost(tree).data == "ident")


def _innermost(tree: Tree) -> Tree:
    """The first node below that says something: the grammar wraps each operand in a dozen others."""
    while len(tree.children) == 1 and isinstance(tree.children[0], lark.Tree):
        tree = tree.children[0]
    return tree


def mismatches(tree: Tree, held: Held) -> list[str]:
    """A sentence for every comparison of unlike types, and for an answer that is no boolean."""
    found: list[str] = []
    for node in nodes(tree):
        if node.data == "relation" and isinstance(node.children[0], lark.Tree):
            found += _mismatch(node, held)
    whole = _kind(tree, held)
    if whole is not None and whole != "boolean":
        found.append(f"The condition gives {_a(whole)}, not true or false.")
    return found


def _mismatch(relation: Tree, held: Held) -> list[str]:
    """What is wrong with one comparison: `left <` and its right side are the node's children."""
    comparison = relation.children[0]
    if comparison.data not in COMPARISONS:
        return []
    left = _kind(comparison.children[0], held)
    right = _kind(relation.children[1], held)
    ordered = comparison.data not in ("relation_eq", "relation_ne")
    if left and right and left != right and (ordered or "null" not in (left, right)):
        return [f"The condition compares {_a(left)} with {_a(right)}."]
    if ordered and left == right and left in ("boolean", "null"):
        return [f"The condition asks which of two is larger, and both are {_a(left)}."]
    return []


def _a(kind: str) -> str:
    return kind if kind == "null" else f"a {kind}"


def _kind(tree: Tree, held: Held) -> str | None:
    node = _innermost(tree)
    if node.data == "literal":
        token = node.children[0]
        return LITERALS.get(token.type) if isinstance(token, lark.Token) else None
    if node.data == "ident":
        return held.get(str(node.children[0]))
    if node.data in ("relation", "conditionalor", "conditionaland"):
        return "boolean"
    if node.data == "multiplication":
        return "number"
    return None
