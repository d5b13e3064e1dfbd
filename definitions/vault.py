"""A vault as people write it: where it is, and how Opsgate signs in. The secrets of that by reference."""

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from definitions.names import Name, check_kind, check_name
from definitions.nearest import nearest
from definitions.problems import Problem, has_errors
from definitions.reading import kind_of, not_json, read
from definitions.secret_place import SecretPlace

Mount = Annotated[str, Field(min_length=1, max_length=200)]


class TokenAuth(BaseModel):
    """A token that the vault's owner made for Opsgate, and renews."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["token"]
    token: SecretPlace


class AppRoleAuth(BaseModel):
    """An AppRole: its id is no secret, its secret id is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["approle"]
    role_id: Annotated[str, Field(min_length=1, max_length=200)]
    secret_id: SecretPlace
    mount: Mount = "approle"


Auth = Annotated[TokenAuth | AppRoleAuth, Field(discriminator="method")]
_METHODS: dict[str, type[TokenAuth | AppRoleAuth]] = {"token": TokenAuth, "approle": AppRoleAuth}
_STAND_IN = {"method": "token", "token": "env:X"}


class Vault(BaseModel):
    """What a vault file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    address: Annotated[str, Field(min_length=1, max_length=500)]
    namespace: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    ca_file: Annotated[str, Field(pattern=r"^/[^\x00]*$", max_length=4096)] | None = None
    """PEM file of whoever signed its certificate; None: those the machine trusts."""
    auth: Auth

    def document(self) -> dict[str, object]:
        """The canonical document: `parse_vault` gives this vault back for it."""
        return {"kind": "vault", **self.model_dump(mode="json")}


def parse_vault(document: object) -> tuple[Vault | None, list[Problem]]:
    """The vault, if the document has the right shape, and everything found on the way."""
    odd = not_json(document)
    if odd or not isinstance(document, dict):
        message = f"A vault is an object with named fields, not {kind_of(document)}."
        return None, odd or [_problem("", "wrong-type", message, "Write `name`, `address` and `auth`.")]
    rest = {key: value for key, value in document.items() if value is not None and key != "kind"}
    of_auth: list[Problem] = []
    if "auth" in rest:
        of_auth = _check_auth(rest["auth"])
        rest["auth"] = _STAND_IN if of_auth else rest["auth"]
    made, found = read(Vault, rest, "", "vault")
    problems = [*check_kind(document, "vault"), *check_name(document), *found, *of_auth]
    problems += _check_address(rest.get("address"))
    return (None if has_errors(problems) else made), problems


def _check_auth(auth: object) -> list[Problem]:
    method = auth.get("method") if isinstance(auth, dict) else None
    if isinstance(auth, dict) and method not in _METHODS:
        known = ", ".join(_METHODS)
        fix = nearest(str(method), _METHODS) or f"Write one of {known}."
        return [_problem("/auth/method", "unknown-word", f"`method` must be one of {known}.", fix)]
    return read(_METHODS.get(str(method), TokenAuth), auth, "/auth", "way to sign in")[1]


def _check_address(address: object) -> list[Problem]:
    """An address is a URL and no more: what is secret does not stand in it, nor travels in the clear."""
    if not isinstance(address, str) or not address:
        return []
    try:
        parts = urlsplit(address)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in ("http", "https") or not host or extra or not address.isprintable():
        message = "That is not the address of a vault."
        return [
            _problem("/address", "bad-form", message, "Write for example `https://vault.example.org:8200`.")
        ]
    if parts.scheme == "http" and not _is_loopback(host):
        message = "Credentials do not travel unencrypted: http is for a vault on this machine."
        return [_problem("/address", "not-encrypted", message, "Write https://, with `ca_file` if needed.")]
    return []


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)
