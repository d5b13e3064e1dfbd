"""A move from one state to another, and the check that a table allows it.

The same tables guard the status columns in SQL; a test compares the two.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from definitions.errors import Conflict


@dataclass(frozen=True)
class Move:
    """One way to change state: what it is called, and when it happens."""

    from_state: StrEnum
    to_state: StrEnum
    verb: str
    reason: str


Table = tuple[Move, ...]


def find(table: Table, from_state: str, to_state: str) -> Move | None:
    """The move, or None if the table has none."""
    for move in table:
        if move.from_state == from_state and move.to_state == to_state:
            return move
    return None


def check(table: Table, from_state: str, to_state: str) -> Move:
    """The move; raises `Conflict` in words when there is none."""
    move = find(table, from_state, to_state)
    if move is None:
        raise Conflict(f"What is {from_state} can't become {to_state}.")
    return move


def allows(table: Table, from_state: str, verb: str) -> bool:
    """Whether the verb can be done in that state."""
    return any(move.from_state == from_state and move.verb == verb for move in table)


def terminal(table: Table, states: Iterable[StrEnum]) -> frozenset[StrEnum]:
    """The states that no move leaves."""
    left = {move.from_state for move in table}
    return frozenset(state for state in states if state not in left)


States = Mapping[StrEnum, str]
"""Each state with a sentence that says what it means."""
