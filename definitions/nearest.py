"""JSON pointers, and the known word a mistyped one was probably meant to be."""

import difflib
from collections.abc import Iterable


def pointer_to(pointer: str, *parts: str | int) -> str:
    """The pointer of something inside what `pointer` names (RFC 6901)."""
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return "/".join([pointer, *escaped])


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that names the known word nearest to this one, or an empty text."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower()[:100], by_lower, n=1, cutoff=0.6)
    return f"Did you mean `{by_lower[found[0]]}`?" if found else ""
