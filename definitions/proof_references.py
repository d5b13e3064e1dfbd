"""The part of the proof about `{{...}}`: each stands where it may, exists, and is defined by then."""

from collections.abc import Iterator
from functools import cache

from definitions import secret_values
from definitions.conditions import check, shape
from definitions.delays import instant
from definitions.errors import Invalid
from definitions.graph import checked_out, names_of
from definitions.nearest import nearest, pointer_to
from definitions.problems import Problem
from definitions.reading import an
from definitions.references import Reference, malformed, references
from definitions.steps import (
    CommandStep,
    ConditionStep,
    DelayStep,
    JobStep,
    PamCheckoutStep,
    Step,
)
from definitions.templates import TEMPLATES, texts
from definitions.variables import ALLOWED, PROPERTIES, is_blocked, lint_command
from definitions.witness import Before, on_the_path
from definitions.workflow import Workflow, all_steps

INSTANCE = {"id": "number", "started_by": "text"}
INPUT_KINDS = {
    "string": "text",
    "secret": "text",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
}
MAX_CONDITIONS = 40_000
"""Characters of all the different conditions of a workflow: to parse these takes about a second."""
_NO_TEXTS = frozenset(["branches", "id", "type", "on_success", "on_failure", "on_true", "on_false"])
"""Words of ours, whose form leaves no room for a reference."""
_MAY_HOLD_TEXTS = (str, dict, list, tuple)


class References:
    """What references of one workflow may speak of."""

    def __init__(self, workflow: Workflow, hosts: frozenset[str] | None = None) -> None:
        """`hosts`: what a step may name, if that is known; references only know hosts by their names."""
        self.workflow = workflow
        self.hosts = None if hosts is None else frozenset(host for host in hosts if is_name(host))
        self.steps = {step.id: step for step in all_steps(workflow.steps)}
        self.inputs = {parameter.name: parameter for parameter in workflow.inputs}
        self.secrets = secret_values.names(workflow.inputs)
        texts = [step.condition for step in self.steps.values() if isinstance(step, ConditionStep)]
        self.long = sum(map(len, texts)) > MAX_CONDITIONS
        """Whether there is so much text that it has to be counted what of it is parsed."""
        self.shapes: set[str] = set()
        self.parsed = 0
        self.checkouts: dict[str, str] = {}
        """By the name of the identity: the first step that checks it out."""
        for step in self.steps.values():
            for name in names_of(step) if isinstance(step, PamCheckoutStep) else ():
                self.checkouts.setdefault(name, step.id)

    def check_step(self, step: Step, where: str, before: Before) -> list[Problem]:
        """Every problem with the references of one step."""
        problems: list[Problem] = []
        allowed = TEMPLATES[step.type]
        for field in _fields(type(step)):
            value = getattr(step, field)
            if not value or not isinstance(value, _MAY_HOLD_TEXTS):
                continue
            for text, pointer in texts(value, pointer_to(where, field)):
                if field == "parameters" and secret_values.input_of(text) in self.secrets:
                    continue  # whether the parameter is a secret too, the catalogue knows
                if field in allowed:
                    problems += self.check_text(text, pointer, before, field)
                elif references(text):
                    problems.append(_not_here(pointer, field))
        return problems + list(self._check_kind(step, where))

    def check_outputs(self, before: Before) -> list[Problem]:
        """Every problem with the workflow's outputs, which are read when it completes."""
        problems: list[Problem] = []
        for name, text in self.workflow.outputs.items():
            problems += self.check_text(text, pointer_to("/outputs", name), before)
        return problems

    def check_text(self, text: str, pointer: str, before: Before, field: str = "") -> list[Problem]:
        """Every problem with the references of one text."""
        if "{{" not in text:
            return []
        problems = [] if field == "condition" else [_malformed(bad, pointer) for bad in malformed(text)]
        for reference in references(text):
            problem = self._check(reference, pointer, before, field)
            if problem is not None:
                problems.append(problem)
        return problems

    def _check_kind(self, step: Step, where: str) -> Iterator[Problem]:
        if isinstance(step, ConditionStep):
            if self._too_many(step.condition):
                message = f"The different conditions of a workflow are longer than {MAX_CONDITIONS} together."
                fix = "Leave the rest to script steps, and use their answers."
                yield _problem(f"{where}/condition", "too-much-work", message, fix)
                return
            for problem in check(step.condition, self.kind):
                yield problem.model_copy(update={"pointer": f"{where}/condition"})
        elif isinstance(step, CommandStep):
            yield from _unsafe(step, where)
        elif isinstance(step, DelayStep) and step.until is not None and "{{" not in step.until:
            try:
                instant(step.until)
            except Invalid as refusal:
                fix = "Write for example 2027-01-31T08:00:00+01:00."
                yield _problem(f"{where}/until", "bad-instant", refusal.message, fix)

    def _too_many(self, condition: str) -> bool:
        """Whether the conditions up to this one are more than a proof takes on."""
        found = shape(condition) if self.long else ""
        if found not in self.shapes:
            self.shapes.add(found)
            self.parsed += len(found)
        return self.parsed > MAX_CONDITIONS

    def kind(self, reference: Reference) -> str | None:
        """What a reference will hold, as far as the definition says."""
        path = reference.path
        if reference.root == "inputs":
            parameter = self.inputs.get(path[-1])
            return INPUT_KINDS.get(parameter.type) if parameter else None
        if reference.root == "instance":
            return INSTANCE.get(path[-1])
        if reference.step_id is not None:
            found = _property(path)
            return {"stdout": "text", "stderr": "text", "exit_code": "number"}.get(found or "")
        return "text"

    def _check(self, reference: Reference, pointer: str, before: Before, field: str) -> Problem | None:
        step_id = reference.step_id
        if step_id is not None:
            return self._check_step_reference(reference, step_id, pointer, before)
        root, rest = reference.root, reference.path[1:]
        if root == "inputs":
            if len(rest) == 1 and rest[0] in self.inputs:
                return _secret(reference, pointer) if rest[0] in self.secrets else None
            return _unknown(reference, pointer, ".".join(rest), [*self.inputs], "There is no such input")
        if root == "instance":
            if len(rest) == 1 and rest[0] in INSTANCE:
                return None
            return _unknown(reference, pointer, ".".join(rest), [*INSTANCE], "An instance has no such value")
        if root not in self.checkouts:
            known = [*(f"step_{step_id}" for step_id in self.steps), "inputs", "instance", *self.checkouts]
            return _unknown(reference, pointer, root, known, "Nothing is known by that name")
        if not before.has(checked_out(root)):
            witness = before.witness(checked_out(root))
            return _not_on_every_path(reference, pointer, self.checkouts[root], "succeeded", witness)
        if not rest:
            return None if field == "run_as" else _whole(reference, pointer)
        if is_blocked(reference):
            return _blocked(reference, pointer, field == "condition")
        return None

    def _check_step_reference(
        self, reference: Reference, step_id: str, pointer: str, before: Before
    ) -> Problem | None:
        step = self.steps.get(step_id)
        if step is None:
            known = [f"step_{other}" for other in self.steps]
            return _unknown(reference, pointer, reference.root, known, "There is no such step")
        if not isinstance(step, JobStep):
            message = f"{reference.text}: {an(step.type).lower()} step leaves no output."
            return _problem(pointer, "no-output", message, "Refer to a script or command step.")
        found = _property(reference.path)
        if found is None:
            message = f"{reference.text}: a step has {', '.join(PROPERTIES)} and hosts.NAME."
            fix = (
                nearest(".".join(reference.path[1:2]), PROPERTIES) or f"Write {{{{step_{step_id}.stdout}}}}."
            )
            return _problem(pointer, "unknown-property", message, fix)
        if not before.has(step_id):
            return _not_on_every_path(reference, pointer, step_id, "run", before.witness(step_id))
        return self._check_host(reference, pointer, step)

    def _check_host(self, reference: Reference, pointer: str, step: JobStep) -> Problem | None:
        """Whether the step runs on the host a reference names; of a tag or the instance's hosts only the
        start decides, but the host has to be there."""
        named = host_names(reference.path)
        if not named:
            return None
        meant = _own_hosts(step)
        known = self.hosts if meant is None else meant
        if known is None or not known.isdisjoint(named):
            return None
        where = "There is no host" if meant is None else f"`{step.id}` does not run on a host"
        fix = nearest(named[0], sorted(known)) or f"Name one of: {', '.join(sorted(known)[:10])}."
        return _problem(pointer, "unknown-host", f"{reference.text}: {where} `{named[0]}`.", fix)


@cache
def _fields(kind: type[Step]) -> tuple[str, ...]:
    """Those that an author writes texts into."""
    return tuple(field for field in kind.model_fields if field not in _NO_TEXTS)


def _unsafe(step: CommandStep, where: str) -> Iterator[Problem]:
    """References in unsafe positions. Where the host decides on the shell it may be either: what would be
    refused on Windows alone is a warning."""
    pointer = f"{where}/command"
    problems = lint_command(step.command, step.shell or "bash")
    yield from (problem.model_copy(update={"pointer": pointer}) for problem in problems)
    if step.shell is None and not problems:
        for problem in lint_command(step.command, "powershell"):
            message = f"On Windows, where PowerShell runs it: {problem.message}"
            fix = f"Set `shell` if it runs on no such host. {problem.fix}"
            told = {"pointer": pointer, "message": message, "fix": fix, "severity": "warning"}
            yield problem.model_copy(update=told)


def _own_hosts(step: JobStep) -> frozenset[str] | None:
    """The names of the hosts a step runs on, if it names each of them by its name."""
    names = {str(host).strip().rstrip(".").lower() for host in step.hosts}
    return frozenset(names) if names and all(map(is_name, names)) else None


def is_name(host: str) -> bool:
    """Whether it is a host's name, and not an id, a tag or a group."""
    return not host.isdigit() and not host.startswith(("tag:", "group:"))


def host_names(path: tuple[str, ...]) -> list[str]:
    """The hosts a reference may mean: a host's name may have dots, and a part called like a property."""
    if path[1:2] != ("hosts",):
        return []
    return [".".join(path[2:at]) for at, part in enumerate(path) if at > 2 and part in PROPERTIES]


def _property(path: tuple[str, ...]) -> str | None:
    """Which of a step's properties a reference speaks of, or None if of none."""
    rest = path[1:]
    if rest[:1] == ("hosts",):
        at = next((index for index, part in enumerate(rest) if index > 1 and part in PROPERTIES), None)
        rest = () if at is None else rest[at:]
    if rest[:1] == ("json",) or (len(rest) == 1 and rest[0] in PROPERTIES):
        return rest[0]
    return None


def _unknown(reference: Reference, pointer: str, word: str, known: list[str], message: str) -> Problem:
    fix = nearest(word, known) or (f"Known: {', '.join(known[:10])}." if known else "There are none.")
    return _problem(pointer, "unknown-reference", f"{message}: {reference.text}.", fix)


def _not_on_every_path(reference: Reference, pointer: str, step_id: str, lacks: str, witness: str) -> Problem:
    message = (
        f"{reference.text} is not defined on every path that leads here: `{step_id}` may not have {lacks}"
    )
    message += on_the_path(witness)
    fix = f"Lead every path, failures too, through `{step_id}` first, or refer to a step that always ran."
    return _problem(pointer, "not-on-every-path", message, fix)


def _whole(reference: Reference, pointer: str) -> Problem:
    message = f"{reference.text} is a whole identity, and stands for nothing outside `run_as`."
    fix = f"Write for example {{{{{reference.root}.username}}}}."
    return _problem(pointer, "identity-misplaced", message, fix)


def _blocked(reference: Reference, pointer: str, in_condition: bool) -> Problem:
    return Problem(
        pointer=pointer,
        code="credential-blocked",
        message=f"{reference.text} gives no credential: only {', '.join(ALLOWED)} can be read.",
        fix="Use `run_as` to run a step as the identity.",
        severity="error" if in_condition else "warning",
    )


def _secret(reference: Reference, pointer: str) -> Problem:
    message = f"{reference.text} is a secret; here it would be stored and shown."
    fix = f"Give it to a secret parameter of a script, as {reference.text} and nothing else."
    return _problem(pointer, "secret-misplaced", message, fix)


def _malformed(text: str, pointer: str) -> Problem:
    message = f"{text[:80]} looks like a reference and is none."
    return _problem(
        pointer, "bad-reference", message, "Write for example {{step_ID.stdout}} or {{inputs.NAME}}."
    )


def _not_here(pointer: str, field: str) -> Problem:
    message = f"References are not allowed in `{field}`."
    return _problem(pointer, "template-not-allowed", message, "Write the value itself.")


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)
