"""What a credential becomes on this host: a user to be, a key to hold, or files of a database's password.

Starts nothing and keeps nothing: `tree` carries it out. No secret stands in a variable of the environment,
which names users, files in memory and a socket only.
"""

import base64
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from agent import rights, workplace
from agent.program import find, own
from agent.protocol import Credential
from agent.rights import User
from agent.tree import Key, Su

FILE = "OPSGATE_CREDENTIAL_FILE"
"""Says where a job reads a database's credential as JSON: identity, username, domain, password."""
_OPENSSH = b"openssh-key-v1\0"


@dataclass(frozen=True)
class Means:
    """What a job has by its credential."""

    user: User | None = None
    su: Su | None = None
    """Needed to become the user: this agent may not by itself."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    values: Mapping[str, str] = field(default_factory=dict)
    key: Key | None = None


def of(credential: Credential | None, run_as: User | None, folder: Path) -> Means:
    """The means of a job in this folder, whose payload names a user of the host or none. CannotRun: this
    host can't do it, and nothing was run."""
    if credential is None:
        return Means(user=run_as)
    if credential.type == "password":
        return _user(credential)
    if credential.type == "ssh_key":
        return _key(credential, run_as, folder)
    return _database(credential, run_as)


def _user(credential: Credential) -> Means:
    domain = f"@{credential.domain}" if credential.domain else ""
    user = rights.account(f"{credential.username}{domain}")
    if rights.may_become(user):
        return Means(user=user)
    return Means(user, Su(find("su"), user.name, own("programs/as_user"), credential.secret))


def _key(credential: Credential, run_as: User | None, folder: Path) -> Means:
    place = workplace.private_place(folder, run_as) / "ssh-agent"
    text = credential.secret if credential.secret.endswith("\n") else f"{credential.secret}\n"
    programs = find("ssh-agent", title="OpenSSH"), find("ssh-add", title="OpenSSH")
    key = Key(credential.identity, text, credential.passphrase, str(place), *programs)
    return Means(run_as, values={"SSH_AUTH_SOCK": key.socket}, key=key)


def _database(credential: Credential, run_as: User | None) -> Means:
    said = credential.model_dump(include={"identity", "username", "domain"})
    secrets = {
        FILE: json.dumps({**said, "password": credential.secret}),
        "PGPASSFILE": f"*:*:*:{_in_passfile(credential.username)}:{_in_passfile(credential.secret)}\n",
    }
    return Means(run_as, secrets=secrets, values={"PGUSER": credential.username})


def _in_passfile(text: str) -> str:
    """A field of PostgreSQL's password file."""
    return text.replace("\\", "\\\\").replace(":", "\\:")


def to_redact(credential: Credential) -> Collection[str]:
    """The texts in which it may be printed."""
    texts = {credential.secret, credential.passphrase or ""}
    return texts | {_in_passfile(credential.secret)} if credential.type == "database" else texts


def harmless(credential: Credential) -> Collection[bytes]:
    """The lines of a private key that say nothing: its frame, and what is public of it (OpenSSH's form)."""
    lines = [line.strip() for line in credential.secret.splitlines()] if credential.type == "ssh_key" else []
    frame = {line.encode() for line in lines if line.startswith("-----")}
    body = [line for line in lines if line and not line.startswith("-----")]
    try:
        content = base64.b64decode("".join(body), validate=True)
        at = len(_OPENSSH)
        for _ in range(3):  # cipher, derivation of its key, and how
            at += 4 + int.from_bytes(content[at : at + 4])
        at += 8  # how many keys, and the length of the public one
        public_to = at + int.from_bytes(content[at - 4 : at])
    except ValueError:
        return frame
    if not content.startswith(_OPENSSH) or public_to > len(content):
        return frame
    public = base64.b64encode(content[at:public_to]).decode()  # the private part repeats some of it
    ends = accumulate(len(line) * 3 // 4 for line in body)
    return frame | {
        line.encode() for line, end in zip(body, ends, strict=True) if end <= public_to or line in public
    }


def files_of(folder: Path) -> dict[str, str]:
    """What was written for a job into a folder that its user can't enter."""
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def moved(argv: list[str], folder: Path, there: Path) -> list[str]:
    """The arguments with the files of one folder in another."""
    inside = f"{folder}{os.sep}"
    return [str(there / word.removeprefix(inside)) if word.startswith(inside) else word for word in argv]
