"""One step as a document says it: aliases undone, `config` laid flat, read by its kind's model."""

from collections.abc import Iterator
from typing import cast

from definitions.nearest import nearest, pointer_to
from definitions.problems import Problem
from definitions.reading import kind_of, read, unknown_key
from definitions.steps import KINDS, Branch, DelayStep, ParallelStep, Step
from definitions.steps.step import TARGET_WORDS, StepFields

KIND_ALIASES = {"conditional": "condition"}
FIELD_ALIASES = {"script": {"script_id": "script"}}
AMOUNTS = ("seconds", "minutes", "hours", "until")


STAND_IN = Branch(steps=(DelayStep(id="x", seconds=1),))
"""In place of branches that could not be read, so that the rest of the step is still looked at."""


def read_steps(document: object, pointer: str) -> tuple[tuple[Step, ...], list[Problem]]:
    """The steps that have the right shape, and every problem of the list."""
    if not isinstance(document, list):
        message = f"Steps are a list, not {kind_of(document)}."
        return (), [_problem(pointer, "wrong-type", message, "Write a list of steps.")]
    if not document:
        return (), [_problem(pointer, "empty", "There are no steps.", "Add at least one step.")]
    steps: list[Step] = []
    problems: list[Problem] = []
    for index, item in enumerate(document):
        step, found = read_step(item, pointer_to(pointer, index))
        problems += found
        if step is not None:
            steps.append(step)
    return tuple(steps), problems


def read_step(document: object, pointer: str) -> tuple[Step | None, list[Problem]]:
    """The step, if it has the right shape, and every problem."""
    if not isinstance(document, dict):
        message = f"A step is an object with named fields, not {kind_of(document)}."
        return None, [_problem(pointer, "wrong-type", message, "Write the step as `name: value` pairs.")]
    fields, places, problems = _flat(document, pointer)
    model = KINDS.get(str(fields.get("type")))
    if model is None:
        return None, [*problems, _unknown_kind(fields, pointer)]
    if "branches" in fields and model is ParallelStep:
        branches, found = _read_branches(fields["branches"], places["branches"])
        fields["branches"] = [STAND_IN] if found else branches
        parallel, more = read(ParallelStep, fields, pointer, "parallel step", places)
        return (None if found else parallel), [*problems, *more, *found]
    if isinstance(fields.get("checkout"), str) and fields["type"] == "pam_checkin":
        fields["checkout"] = [fields["checkout"]]
    made, found = read(model, fields, pointer, f"{fields['type']} step", places)
    problems += found
    step = cast("Step | None", made)
    if isinstance(step, DelayStep):
        problems += _check_amounts(step, pointer, places)
    return step, problems


def _unknown_kind(fields: dict[str, object], pointer: str) -> Problem:
    known = ", ".join(KINDS)
    if "type" not in fields:
        return _problem(pointer, "missing-field", "A step needs the field `type`.", f"Add `type`: {known}.")
    fix = nearest(str(fields["type"]), [*KINDS, *KIND_ALIASES]) or f"Use one of {known}."
    return _problem(pointer_to(pointer, "type"), "unknown-kind", "There is no such kind of step.", fix)


def _flat(
    document: dict[str, object], pointer: str
) -> tuple[dict[str, object], dict[str, str], list[Problem]]:
    """The fields by their canonical names, where each one stands, and what was said twice."""
    kind = document.get("type")
    kind = KIND_ALIASES.get(kind, kind) if isinstance(kind, str) else kind
    aliases = dict(FIELD_ALIASES.get(str(kind), {}))
    if kind != "approval":
        aliases["title"] = "name"
    fields: dict[str, object] = {}
    places: dict[str, str] = {}
    problems: list[Problem] = []
    for key, value, where in _entries(document, pointer):
        name = aliases.get(key, key)
        if name in places:
            if fields[name] != value:
                message = f"`{name}` is given twice, at {places[name]} too."
                problems.append(_problem(where, "given-twice", message, "Keep one of them."))
            continue
        fields[name], places[name] = value, where
    if "type" in fields:
        fields["type"] = kind
    if isinstance(document.get("config"), dict | None):
        return fields, places, problems
    message = f"`config` is an object, not {kind_of(document['config'])}."
    problems.append(_problem(f"{pointer}/config", "wrong-type", message, "Write `name: value` pairs."))
    return fields, places, problems


def _entries(document: dict[str, object], pointer: str) -> Iterator[tuple[str, object, str]]:
    """Every field, those of `config` too; one that is null counts as not given."""
    for key, value in document.items():
        if key != "config" and value is not None:
            yield key, value, pointer_to(pointer, key)
    config = document.get("config")
    if isinstance(config, dict):
        for key, value in config.items():
            if value is not None:
                yield key, value, pointer_to(pointer, "config", key)


def _read_branches(document: object, pointer: str) -> tuple[object, list[Problem]]:
    if not isinstance(document, list):
        return document, []
    branches: list[object] = []
    problems: list[Problem] = []
    for index, item in enumerate(document):
        where = pointer_to(pointer, index)
        if not isinstance(item, dict):
            message = f"A branch is an object with `name` and `steps`, not {kind_of(item)}."
            problems.append(_problem(where, "wrong-type", message, "Write `name` and `steps`."))
            continue
        known = list(Branch.model_fields)
        problems += [
            unknown_key(key, known, pointer_to(where, key), "branch") for key in item if key not in known
        ]
        name = item.get("name")
        if name is not None and not isinstance(name, str):
            message = f"`name` must be a text, not {kind_of(name)}."
            problems.append(_problem(pointer_to(where, "name"), "wrong-type", message, "Write it in quotes."))
            name = None
        steps, found = read_steps(item.get("steps"), pointer_to(where, "steps"))
        problems += found
        if steps:
            branches.append(Branch(name=name or "", steps=steps))
    return branches, problems


def _check_amounts(step: DelayStep, pointer: str, places: dict[str, str]) -> list[Problem]:
    given = [name for name in AMOUNTS if getattr(step, name) is not None]
    if not given:
        message = "A delay says how long: `seconds`, `minutes`, `hours` or `until`."
        return [_problem(pointer, "missing-field", message, "Add one of them.")]
    message = f"A delay says how long once, and this one has {' and '.join(given)}."
    return [_problem(places[name], "given-twice", message, "Keep one of them.") for name in given[1:]]


def check_ids(document: object, pointer: str) -> list[Problem]:
    """Ids that are used twice or are one of the target words, in a list of steps and its branches."""
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for step_id, where in ids_of(document, pointer):
        if step_id in TARGET_WORDS:
            message = f"`{step_id}` is a target word and can't be the id of a step."
            problems.append(_problem(where, "reserved-id", message, "Choose another id."))
        elif step_id in seen:
            message = f"Another step has the id `{step_id}` already, at {seen[step_id]}."
            problems.append(_problem(where, "duplicate-id", message, "Choose another id."))
        seen.setdefault(step_id, where)
    return problems


def ids_of(document: object, pointer: str) -> Iterator[tuple[str, str]]:
    """The id of every step with its pointer, in a list of steps and its branches."""
    for index, item in enumerate(document if isinstance(document, list) else []):
        if not isinstance(item, dict):
            continue
        for key, value, where in _entries(item, pointer_to(pointer, index)):
            if key == "id" and isinstance(value, str):
                yield value, where
            if key == "branches" and isinstance(value, list):
                for number, branch in enumerate(value):
                    steps = branch.get("steps") if isinstance(branch, dict) else None
                    yield from ids_of(steps, pointer_to(where, number, "steps"))


def walk(steps: tuple[Step, ...], pointer: str) -> Iterator[tuple[Step, str]]:
    """Every step with its pointer, those of branches after the step that holds them."""
    for index, step in enumerate(steps):
        where = pointer_to(pointer, index)
        yield step, where
        if isinstance(step, ParallelStep):
            for number, branch in enumerate(step.branches):
                yield from walk(branch.steps, pointer_to(where, "branches", number, "steps"))


def write_step(step: StepFields) -> dict[str, object]:
    """The canonical document of a step: every field that has a value, branches written alike."""
    fields = step.model_dump(mode="json", exclude={"branches"})
    written: dict[str, object] = {"id": fields.pop("id"), "type": fields.pop("type")}
    written |= {key: value for key, value in fields.items() if value is not None}
    if isinstance(step, ParallelStep):
        written["branches"] = [
            {"name": branch.name, "steps": [write_step(inner) for inner in branch.steps]}
            for branch in step.branches
        ]
    return written


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)
