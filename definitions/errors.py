"""The errors of Opsgate: one base class and a few kinds.

A refused action raises one of these; `agent_api.problem_responses` maps each kind to an HTTP
status in one place, the CLI to an exit code. A message names the thing and never a secret.
"""

from collections.abc import Mapping, Sequence

from definitions.problems import Problem


class OpsgateError(Exception):
    """Base of every error a user may see. `str(error)` is one clear sentence."""

    title = "Something went wrong"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(OpsgateError):
    """The input is wrong; `problems` says everything that is, each with pointer and fix."""

    title = "The input is not valid"

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class NotAuthenticated(OpsgateError):
    """Nobody is signed in, or the token, session or password is not known."""

    title = "Sign in first"


class NotPermitted(OpsgateError):
    """The person is known and may not do this."""

    title = "Not permitted"


class NotFound(OpsgateError):
    """There is no such thing, or none this person may know of."""

    title = "Not found"


class Conflict(OpsgateError):
    """The thing is not in a state in which this can be done, or somebody was faster."""

    title = "Not possible now"


class StaleEdit(Conflict):
    """Somebody saved meanwhile; `diff` shows what is there now beside what was to be saved."""

    def __init__(self, message: str, diff: Mapping[str, str]) -> None:
        super().__init__(message)
        self.diff = dict(diff)


class RateLimited(OpsgateError):
    """Too many tries; come back later."""

    title = "Too many tries"


class Unavailable(OpsgateError):
    """A part that is needed (engine, database, vault) does not answer."""

    title = "Not available now"
