"""The part of the proof about privileged identities: they exist, and `run_as` finds them checked out."""

from collections.abc import Iterator, Mapping

from definitions.catalogue import Catalogue
from definitions.graph import checked_out, names_of
from definitions.names import listed
from definitions.nearest import nearest, pointer_to
from definitions.problems import Problem, Severity
from definitions.references import RESERVED_ROOTS, whole
from definitions.steps import JobStep, PamCheckinStep, PamCheckoutStep, Step
from definitions.undoing import path
from definitions.witness import Before, on_the_path

Steps = Mapping[str, Step]
"""All steps of the workflow, by their ids."""


def check_identities(
    step: Step, where: str, before: Before, steps: Steps, known: Catalogue
) -> Iterator[Problem]:
    """Every problem of a step with the identities it checks out, checks in, or runs as."""
    if isinstance(step, PamCheckoutStep):
        yield from _check_names(step, where)
        yield from _check_checkout(step, where, known)
    elif isinstance(step, PamCheckinStep):
        yield from _check_checkin(step, where, steps)
    elif isinstance(step, JobStep) and step.run_as is not None:
        yield from _check_run_as(step.run_as, f"{where}/run_as", before, steps, known)


def _check_names(step: PamCheckoutStep, where: str) -> Iterator[Problem]:
    for field in ("variable_name", "identity"):
        name = getattr(step, field)
        if isinstance(name, str) and (name in RESERVED_ROOTS or name.startswith("step_")):
            message = f"`{name}` means something else in references."
            yield _problem(f"{where}/{field}", "reserved-name", message, "Choose another name.")


def _check_checkout(step: PamCheckoutStep, where: str, known: Catalogue) -> Iterator[Problem]:
    if known.identities is None:
        return
    identity = known.identity(step.identity)
    if identity is None:
        message = f"There is no identity `{step.identity}`."
        fix = (
            nearest(str(step.identity), [one.name for one in known.identities]) or "Save the identity first."
        )
        yield _problem(f"{where}/identity", "unknown-identity", message, fix)
        return
    if step.duration_minutes is not None and step.duration_minutes > identity.max_minutes:
        message = f"`{identity.name}` is checked out for {identity.max_minutes} minutes at most."
        fix = f"Write {identity.max_minutes} or less: it ends then in any case."
        yield _problem(f"{where}/duration_minutes", "too-long", message, fix, "warning")


def _check_checkin(step: PamCheckinStep, where: str, steps: Steps) -> Iterator[Problem]:
    for index, step_id in enumerate(step.checkout):
        if not isinstance(steps.get(step_id), PamCheckoutStep):
            what = "is no pam_checkout step" if step_id in steps else "is no step"
            checkouts = [each for each, other in steps.items() if isinstance(other, PamCheckoutStep)]
            fix = nearest(step_id, checkouts) or "Name a pam_checkout step, or none: then all are checked in."
            yield _problem(
                pointer_to(where, "checkout", index), "unknown-checkout", f"`{step_id}` {what}.", fix
            )
    if not any(isinstance(other, PamCheckoutStep) for other in steps.values()):
        message = "No step checks anything out: there is nothing to check in."
        yield _problem(where, "nothing-to-check-in", message, "Leave the step out.", "warning")


def _check_run_as(
    template: str, pointer: str, before: Before, steps: Steps, known: Catalogue
) -> Iterator[Problem]:
    reference = whole(template)
    if reference is None or len(reference.path) > 1:
        yield _not_whole(template, pointer, steps, known)
        return
    root = reference.root
    if not before.knows(checked_out(root)):
        return  # what it is, and that it is no identity, the check of references says
    if before.has(checked_out(root)) and not before.open(root):
        culprits = listed([f"`{step.id}`" for step in _ending(root, before, steps)], 3)
        message = f"{reference.text} may have been checked in before this step, by {culprits}"
        message += on_the_path(path(before, checked_out(root)))
        fix = "Check it in after the last step that runs as it, or check it out again before this one."
        yield _problem(pointer, "checked-in-before", message, fix)


def _not_whole(template: str, pointer: str, steps: Steps, known: Catalogue) -> Problem:
    message = "`run_as` names an identity that was checked out, as {{NAME}}, and nothing else."
    fix = "Check an identity out in a pam_checkout step before, and write for example {{db_admin}}."
    name = template.strip()
    names = {each for step in steps.values() if isinstance(step, PamCheckoutStep) for each in names_of(step)}
    if name in names:
        fix = f"Write {{{{{name}}}}}."
    elif any(name == identity.name for identity in known.identities or ()):
        fix = f"Check {name} out in a pam_checkout step before, and write {{{{{name}}}}}."
    return _problem(pointer, "no-identity", message, fix)


def _ending(name: str, before: Before, steps: Steps) -> Iterator[PamCheckinStep]:
    """The steps that may have checked it in."""
    bit = before.graph.bit(checked_out(name))
    for step in steps.values():
        if isinstance(step, PamCheckinStep) and before.graph.ends(step) & bit and before.may_follow(step.id):
            yield step


def _problem(pointer: str, code: str, message: str, fix: str, severity: Severity = "error") -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix, severity=severity)
