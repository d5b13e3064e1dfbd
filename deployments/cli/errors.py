"""What a user sees when a command fails: one sentence, every problem, and an exit code."""

import json
import ssl
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import httpx2
from pydantic import ValidationError

from definitions.errors import Invalid, OpsgateError
from definitions.harmless import visible

CA_FIX = "Name its CA's certificate: OPSGATE_CA=FILE, or `opsgate login URL --ca FILE`."


class WrongUse(OpsgateError):
    """The command was called in a way that can't work: a missing file, no server known. Exit code 2."""

    title = "Wrong use"


class Refused(OpsgateError):
    """The server said no; `problem` is its RFC 9457 document."""

    title = "Refused"

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        message = str(problem.get("detail") or problem.get("title") or f"The server answered {status}.")
        super().__init__(message)
        self.status = status
        self.problem = dict(problem)

    @property
    def problems(self) -> list[dict[str, Any]]:
        """Every problem the server named."""
        found = self.problem.get("problems") or []
        return [entry for entry in found if isinstance(entry, dict)]


def report(error: Exception, *, as_json: bool) -> int:
    """Tell the user; returns the exit code. An error that is a bug of ours is raised again."""
    document = _document(error)
    if document is None:
        raise error
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        print(visible(f"{document['title']}: {document['detail']}"), file=sys.stderr)
        for line in problem_lines(document["problems"]):
            print(visible(line), file=sys.stderr)
        for part in filter(None, document.get("diff", {}).values()):
            print(visible(part), file=sys.stderr)
    return 2 if isinstance(error, WrongUse) else 1


def problem_lines(problems: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Each problem as a person reads it: where, what, and how to mend it."""
    for problem in problems:
        where = problem.get("pointer") or "/"
        yield f"  {problem.get('severity', 'error')} at {where}: {problem.get('message', '')}"
        if problem.get("fix"):
            yield f"    fix: {problem['fix']}"


def distrust(error: BaseException) -> str | None:
    """Why the server's certificate is not trusted, if that lies below this error."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return below.verify_message
        below = below.__cause__ or below.__context__
    return None


def _document(error: Exception) -> dict[str, Any] | None:
    if isinstance(error, Refused):
        title = str(error.problem.get("title") or error.title)
        diff = error.problem.get("diff")
        return {
            "title": title,
            "status": error.status,
            "detail": error.message if error.message != title else "",
            "problems": error.problems,
            **({"diff": diff} if isinstance(diff, dict) else {}),
        }
    if isinstance(error, OpsgateError):
        found = error.problems if isinstance(error, Invalid) else ()
        problems = [problem.model_dump() for problem in found]
        return {"title": error.title, "detail": error.message, "problems": problems}
    if isinstance(error, httpx2.HTTPError):
        untrusted = distrust(error)
        sentence = f"The server does not answer ({str(error) or type(error).__name__}). Is it running?"
        if untrusted is not None:
            sentence = f"The server's certificate is not trusted: {untrusted}. {CA_FIX}"
        return {"title": "Not available now", "detail": sentence, "problems": []}
    if isinstance(error, ValidationError):
        names = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return {"title": "A setting is missing or wrong", "detail": f"OPSGATE_ {names}", "problems": []}
    return None
