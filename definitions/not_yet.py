"""What can be written down and this version does not run yet: said in one way wherever it is met."""

from definitions.problems import Problem


def run_as(pointer: str) -> Problem:
    """A script or a step that is to run as an identity. Refused, rather than run as somebody else."""
    message = "Running as another identity is not available yet."
    fix = "Leave `run_as` out for now: it runs as the agent's user."
    return Problem(pointer=pointer, code="not-available-yet", message=message, fix=fix)
