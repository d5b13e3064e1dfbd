"""`opsgate audit`: who did what, and whether the record of it is whole, on the server or from files."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from deployments.cli.connection import Connection
from deployments.cli.errors import WrongUse
from deployments.cli.output import Json, Limit, print_json, print_rows

app = App(name="audit", help_format="plaintext")

VERIFY_SECONDS = 3600
"""What going along the whole trail may take."""

Checkpoints = Annotated[Path | None, Parameter(help="Checkpoints that were exported, one a line.")]


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List what was done, the newest first."""
    columns = ("id", "at", "actor_name", "action", "subject_kind", "subject_id", "detail")
    print_rows(Connection.find().items("/audit", limit), columns, as_json=json)


@app.command
def verify(
    *,
    checkpoints: Checkpoints = None,
    export: Path | None = None,
    public_keys: Path | None = None,
    json: Json = False,
) -> int:
    """Check that nothing was changed, removed, added or moved; else name the first wrong row, exit code 1.

    --export FILE --public-keys FILE: check an export, without a server.
    """
    if export is not None:
        verdict = _offline(export, checkpoints, public_keys)
    elif public_keys is not None:
        raise WrongUse("The server has public keys of its own; --public-keys goes with --export.")
    else:
        body = {"checkpoints": [point.model_dump(mode="json") for point in _points(checkpoints)]}
        verdict = Connection.find().post("/audit/verify", body, seconds=VERIFY_SECONDS)
    if json:
        print_json(verdict)
    else:
        where = f" (place {verdict['wrong_seq']})" if verdict["wrong_seq"] is not None else ""
        print(verdict["sentence"] if verdict["good"] else f"WRONG{where}: {verdict['sentence']}")
    return 0 if verdict["good"] else 1


@app.command
def export(*, after: str | None = None) -> None:
    """Print the whole trail in the order of its chain, a row a line; --after PLACE: what came later."""
    import json

    connection, cursor = Connection.find(), after
    while True:
        page = connection.get("/audit/export", after=cursor, limit=1000)
        for entry in page["items"]:
            sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
        cursor = page["next"]
        if cursor is None:
            return


@app.command
def checkpoints(*, limit: Limit = 1) -> None:
    """Print the newest signed checkpoint, to be kept elsewhere; --limit: more of them, one a line."""
    import json

    for point in Connection.find().items("/audit/checkpoints", limit):
        print(json.dumps(point))


@app.command
def new_key(file: Path) -> None:
    """Make the key that signs checkpoints, in FILE, and the public one that verifies them, in FILE.pub."""
    import os
    import secrets

    from store.audit_keys import read_signer

    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write(secrets.token_urlsafe(32) + "\n")
    except OSError as error:
        raise WrongUse(f"{file} can't be made: {error.strerror}.") from None
    public = file.with_name(file.name + ".pub")
    public.write_text(read_signer(file).public_lines(), encoding="ascii")
    print(f"Workers: OPSGATE_AUDIT_KEY_FILE={file}")
    print(f"Web:     OPSGATE_AUDIT_PUBLIC_KEYS_FILE={public}")


def _offline(export: Path, checkpoints: Path | None, public_keys: Path | None) -> dict[str, Any]:
    from definitions.audit_chain import Check, Entry
    from store.audit_keys import read_public_keys

    signed = None if public_keys is None else read_public_keys(public_keys).signed
    check = Check(_points(checkpoints), signed)
    for number, line in enumerate(_lines(export), 1):
        try:
            check.take(Entry.model_validate_json(line))
        except ValueError:
            raise WrongUse(f"Line {number} of {export} is no row of an export.") from None
    return check.finish().model_dump()


def _points(file: Path | None) -> Sequence[Any]:
    from definitions.audit_chain import Checkpoint

    try:
        return [] if file is None else [Checkpoint.model_validate_json(line) for line in _lines(file)]
    except ValueError:
        raise WrongUse(f"{file} holds something that is no checkpoint.") from None


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8") as lines:
            yield from (line for line in lines if line.strip())
    except OSError as error:
        raise WrongUse(f"{file} can't be read: {error.strerror}.") from None
