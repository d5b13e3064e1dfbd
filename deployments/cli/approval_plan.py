"""What runs if people say yes: the plan of an approval request, as the API gives it, as lines. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from definitions.harmless import visible
from deployments.cli.output import cell


def credential(frozen: Mapping[str, Any]) -> Iterator[str]:
    """Of a request for a checkout: whose credential it is, and for how long."""
    asked = frozen.get("checkout")
    if asked:
        of = "".join(
            f" {word} {asked[name]}" for word, name in (("in", "domain"), ("on", "host")) if asked[name]
        )
        whose = f"{asked['identity']} version {asked['version']}: {asked['credential_type']} of "
        yield visible(f"credential: {whose}{asked['username']}{of}, for {asked['minutes']} minutes at most")


def went_on(approval: Mapping[str, Any]) -> Iterator[str]:
    """Who has had it go on since it was started."""
    return (visible(f"{hand['did']} by {hand['name']}") for hand in approval["set_going"][1:])


def lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """The steps up to the next gate, each with its hosts, values, text and changes."""
    yield ""
    earlier = plan["compared_with"]
    if not plan["steps"]:
        yield "If approved, no step runs before the next gate or the end."
    elif earlier is None:
        yield "What runs if approved (no earlier run was approved here to compare it with):"
    else:
        when = cell(earlier["decided_at"])
        yield (
            f"What runs if approved; changes since approval {earlier['request_id']} of instance "
            f"{earlier['instance_id']}, {when}:"
        )
    for step in plan["steps"]:
        yield from (f"  {line}".rstrip() for line in _step(step))
    if plan["gone"]:
        yield f"  Not there any more: {visible(', '.join(plan['gone']))}."


def _step(step: Mapping[str, Any]) -> Iterator[str]:
    change = step["change"] or {}
    mark = "  NEW" if change.get("new") else "  CHANGED" if _differs(change) else ""
    yield ""
    yield f"{visible(step['name'])} ({step['step']}): {step['type']}, {visible(step['when'])}{mark}"
    if step["hosts"] or step["hosts_note"]:
        on = [visible(", ".join(step["hosts"])), visible(step["hosts_note"])]
        yield f"  on        {'; '.join(part for part in on if part)}"
    if step["script"]:
        yield f"  script    {_script(step['script'])}"
    if step["text"]:
        yield from _indented(_text(step["text"]))
    for name, pieces in step["values"].items():
        yield f"  {visible(name):<9} {visible(_text(pieces))}"
    for piece in [*step["text"], *(piece for found in step["values"].values() for piece in found)]:
        if piece["unknown"]:
            yield f"  not yet: {visible(piece['of'])}, {visible(piece['unknown'])}"
    if step["content_hidden"]:
        yield f"  Its text is not shown: {visible(step['content_hidden'])}"
    if _differs(change):
        for part in ("settings", "content"):
            yield from _indented(change[part] or "")
    if step["content"] is not None and not change.get("content"):
        yield from _indented(step["content"])


def _differs(change: Mapping[str, Any]) -> bool:
    return bool(change.get("settings") or change.get("content"))


def _script(script: Mapping[str, Any]) -> str:
    libraries = [f"{name} version {version}" for name, version in script["libraries"].items()]
    parts = [f"{script['name']} version {script['version']}", *libraries]
    return visible(", ".join(parts)) + (", with elevated rights" if script["requires_elevation"] else "")


def _text(pieces: Sequence[Mapping[str, Any]]) -> str:
    return "".join(piece["text"] for piece in pieces)


def _indented(text: str) -> Iterator[str]:
    return (f"    | {visible(line)}" for line in text.split("\n") if text)
