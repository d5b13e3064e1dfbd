"""The TLS of the web process: what it serves with, and why it can't. Reads files, listens nowhere.

Everything that would only show at the first client (a key of another certificate, one that is
encrypted or that everybody can read, dates that are over) is said at the start instead.
"""

import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from cryptography import x509

from definitions.errors import Invalid
from deployments.settings import WebSettings


def server_context(settings: WebSettings) -> ssl.SSLContext | None:
    """How to serve; None: plain HTTP, refused where others could listen. `Invalid` says what is wrong."""
    certificate, key = settings.web_tls_cert, settings.web_tls_key
    if certificate is None and key is None:
        _refuse_open_http(settings)
        return None
    if certificate is None or key is None:
        missing = "web_tls_cert" if certificate is None else "web_tls_key"
        raise Invalid(f"web_tls_cert and web_tls_key belong together, and {missing} is not set.")
    if not settings.public_url.startswith("https://"):
        raise Invalid(
            f"The web process has a certificate, and public_url is {settings.public_url}: "
            "write there the https:// address that people and agents use."
        )
    _check_dates(certificate)
    _check_private(key)
    return _context(certificate, key)


def _refuse_open_http(settings: WebSettings) -> None:
    if settings.web_plain_http or _is_loopback(settings.web_host):
        return
    raise Invalid(
        f"On {settings.web_host} without TLS, passwords, tokens and jobs could be read and changed "
        "on the way. Set web_tls_cert and web_tls_key; or, when a proxy in front speaks TLS, "
        "web_plain_http = true."
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_dates(path: Path) -> None:
    try:
        first = x509.load_pem_x509_certificates(_read(path, "web_tls_cert"))[0]
    except ValueError:
        raise Invalid(f"web_tls_cert: {path} holds no certificate in PEM form.") from None
    now = datetime.now(UTC)
    if now > first.not_valid_after_utc:
        raise Invalid(f"web_tls_cert: the certificate in {path} was valid until {first.not_valid_after_utc}.")
    if now < first.not_valid_before_utc:
        raise Invalid(f"web_tls_cert: the certificate in {path} is valid from {first.not_valid_before_utc}.")


def _check_private(path: Path) -> None:
    """A group may read it: that is how distributions share keys with servers that are not root."""
    _read(path, "web_tls_key")
    if path.stat().st_mode & 0o007:
        raise Invalid(f"web_tls_key: {path} is open to everybody on this machine: chmod o= {path}")


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{setting}: {path} can't be read: {error.strerror}.") from None


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    # Asked for only when the key is encrypted; without this OpenSSL would ask the terminal.
    def no_password() -> NoReturn:
        raise Invalid(f"web_tls_key: {key} is encrypted; give a key without a password.")

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Invalid(f"The key in {key} is not the one of the certificate in {certificate}.") from None
        raise Invalid(f"web_tls_key: {key} holds no private key in PEM form ({error.reason}).") from None
    return context
