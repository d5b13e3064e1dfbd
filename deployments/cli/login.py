"""`opsgate login`: trade a name and a password for a token of this machine, and remember it."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx2
from cyclopts import Parameter

from deployments.cli import profile
from deployments.cli.connection import API, trusting
from deployments.cli.errors import Refused, WrongUse
from deployments.cli.output import Json, print_json
from deployments.cli.values import asked_for, text_of


def login(
    url: str,
    *,
    name: str | None = None,
    password_file: Path | None = None,
    ca: Annotated[
        Path | None, Parameter(help="Certificates to trust instead of this machine's; remembered.")
    ] = None,
    json: Json = False,
) -> None:
    """Sign in to the server at URL; the password is asked for (without a terminal: a line of standard input),
    or read from --password-file (- is stdin)."""
    who = name or _ask("Name: ")
    if password_file is None:
        password = asked_for("Password")
    else:
        read = sys.stdin.read() if str(password_file) == "-" else text_of(str(password_file), "the password")
        password = read.rstrip("\r\n")
    named = str(ca.absolute()) if ca else os.environ.get("OPSGATE_CA") or None
    token = new_token(url, who, password, f"{socket.gethostname()}, command line", named)
    path = profile.login_path()
    profile.keep(profile.Profile(url.rstrip("/"), token, named), path)
    if json:
        print_json({"url": url, "user": who, "profile": str(path)})
    else:
        print(f"Signed in to {url} as {who}; kept in {path}.")


def new_token(url: str, name: str, password: str, label: str, ca: str | None = None) -> str:
    """A token of this person: signs in, makes it, signs out again."""
    with SignedIn(url, name, password, ca) as session:
        token: str = session.post("/tokens", {"name": label})["token"]
    return token


class SignedIn:
    """A session as a browser has it: cookie and CSRF token. Signs out at the end of the block."""

    def __init__(self, url: str, name: str, password: str, ca: str | None = None) -> None:
        self._client = httpx2.Client(base_url=url.rstrip("/"), timeout=30, verify=trusting(ca))
        self._who = {"name": name, "password": password}
        self._csrf: dict[str, str] = {}

    def __enter__(self) -> "SignedIn":
        try:
            session = self._decoded(self._client.post(f"{API}/sessions", json=self._who))
        except BaseException:
            self._client.close()
            raise
        self._csrf = {"X-CSRF-Token": str(session["csrf_token"])}
        return self

    def __exit__(self, *_: object) -> None:
        self._client.delete(f"{API}/sessions", headers=self._csrf)
        self._client.close()

    def get(self, path: str) -> Any:
        """GET as this person."""
        return self._decoded(self._client.get(API + path))

    def post(self, path: str, body: object) -> Any:
        """POST as this person."""
        return self._decoded(self._client.post(API + path, json=body, headers=self._csrf))

    @staticmethod
    def _decoded(answer: httpx2.Response) -> Any:
        if answer.is_error:
            is_problem = "json" in answer.headers.get("content-type", "")
            raise Refused(
                answer.status_code, answer.json() if is_problem else {"title": answer.reason_phrase}
            )
        return answer.json() if answer.content else None


def _ask(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        raise WrongUse("Nobody is there to ask; give --name and --password-file.") from None
