"""What is wrong with a vault, in our words: those of others may hold what was asked for."""

import ssl
from collections.abc import Iterator
from http.client import HTTPException
from typing import Literal

import requests
from hvac import exceptions
from urllib3.exceptions import NameResolutionError, ProtocolError

from definitions.errors import Unavailable

Kind = Literal["sealed", "unreachable", "denied", "not_found", "unfit", "changed"]

_NO_ROLE = ("unknown role", "no static role found")
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")

PASSING: tuple[Kind, ...] = ("sealed", "unreachable", "changed")
"""What another try may not find any more."""

NO_VAULT = "answers as no vault does: is the address right?"


class VaultRefusal(Unavailable):
    """The vault did not give it; `kind` says why."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


def explained(error: Exception, namespace: str | None) -> tuple[Kind, str]:
    """Which kind of trouble an error is, and what to say of the vault."""
    if isinstance(error, exceptions.VaultError):
        return _said_by_vault(error, namespace)
    if isinstance(error, requests.exceptions.SSLError):
        return "unreachable", _of_tls(error)
    if isinstance(error, requests.Timeout):
        return "unreachable", "does not answer in time"
    if isinstance(error, requests.RequestException):
        return _of_connection(error)
    return "unreachable", "can't be asked: its `ca_file` can't be read here"


def _said_by_vault(error: exceptions.VaultError, namespace: str | None) -> tuple[Kind, str]:
    said = str(error)
    if "HTTP request to an HTTPS server" in (error.text or ""):
        return "unfit", "speaks TLS: write https:// in its address"
    if isinstance(error, exceptions.VaultDown) and "is sealed" in said:
        return "sealed", "is sealed: unseal it"
    if isinstance(error, exceptions.VaultNotInitialized):
        return "sealed", "is not initialised"
    if isinstance(error, exceptions.InternalServerError | exceptions.BadGateway | exceptions.VaultDown):
        if any(words in said for words in _NO_ROLE):
            return "not_found", "has nothing at that path"
        return "unreachable", f"is in trouble ({type(error).__name__})"
    if not isinstance(error.json, dict):
        return "unfit", NO_VAULT
    if "namespace not found" in said:
        return "not_found", f"has no namespace {namespace}"
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
        return "denied", "refuses: the token is not valid, or its policy does not allow this"
    if isinstance(error, exceptions.InvalidPath) or any(words in said for words in _NO_ROLE):
        return "not_found", "has nothing at that path"
    if isinstance(error, exceptions.InvalidRequest):
        return "unfit", "does not take the request: is the engine of the kind the identity says?"
    return "unreachable", f"is in trouble ({type(error).__name__})"


def _of_tls(error: Exception) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            if cause.verify_code == 10:
                return "shows a certificate that has expired"
            if cause.verify_code in (62, 64):
                return "shows a certificate that is for another name"
            return "shows a certificate that is not trusted here: see `ca_file`"
        if isinstance(cause, ssl.SSLError) and cause.reason in (
            "WRONG_VERSION_NUMBER",
            "RECORD_LAYER_FAILURE",
        ):
            return "does not speak TLS: is the address right?"
    return "breaks TLS off"


def _of_connection(error: Exception) -> tuple[Kind, str]:
    causes = list(_causes(error))
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return "unreachable", "is not known by that name here"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "unreachable", "does not answer: nothing listens there"
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return "unreachable", "breaks the connection off"
    if any(isinstance(cause, HTTPException | ProtocolError) for cause in causes):
        return "unfit", NO_VAULT
    return "unreachable", "does not answer"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and whatever it was made of, outermost first."""
    found: list[BaseException] = [error]
    for one in found:
        yield one
        inner = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        found += [each for each in inner if isinstance(each, BaseException) and each not in found]
