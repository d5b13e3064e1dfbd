"""A reference to a script or workflow: its id, or its unique name.

Text that is all digits is an id; so no such thing may be given a name of digits only.
"""

from definitions.errors import Invalid, NotFound
from definitions.names import listed as listed
from definitions.problems import Problem

_MAX_ID = 2**63 - 1


def split(reference: int | str) -> tuple[int | None, str | None]:
    """(id, None) or (None, name); id 0, which nothing has, for what can't be either."""
    if isinstance(reference, str) and not reference.isprintable():
        return 0, None
    if isinstance(reference, str) and not (reference.isascii() and reference.isdigit()):
        return None, reference
    number = int(reference) if isinstance(reference, int) or len(reference) <= 19 else 0
    return (number, None) if 0 < number <= _MAX_ID else (0, None)


def check_name(name: str) -> None:
    """Refuse a name that could be mistaken for an id, or that nobody can type."""
    if name.isascii() and name.isdigit():
        why = "A name of digits only could be mistaken for an id."
    elif name != name.strip() or "/" in name or not name.isprintable():
        why = "A name has no surrounding blanks, no slash and no control characters."
    else:
        return
    raise Invalid(
        f"{name[:80]!r} can't be a name.",
        [Problem(pointer="/name", code="bad-name", message=why, fix="Choose another name.")],
    )


def missing(what: str, reference: int | str) -> NotFound:
    """The error for a reference that nothing answers to."""
    shown = repr(reference[:80]) if isinstance(reference, str) else str(reference)
    return NotFound(f"There is no {what} {shown}.")
