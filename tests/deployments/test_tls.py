"""The web process's TLS: what can't work is said at the start, in words, before anything listens."""

import os
import ssl
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from definitions.errors import Invalid
from deployments.settings import WebSettings
from deployments.tls import server_context
from tests.deployments.private_ca import PrivateCa, pem


@pytest.fixture(autouse=True)
def ordinary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No opsgate.toml of this machine, no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("OPSGATE_")]:
        monkeypatch.delenv(name)


def settings(**given: object) -> WebSettings:
    return WebSettings(database_url="postgresql://nowhere", **given)


def with_tls(certificate: Path | None, key: Path | None, url: str = "https://ops.example") -> WebSettings:
    return settings(web_tls_cert=certificate, web_tls_key=key, public_url=url)


@pytest.fixture
def ca(tmp_path: Path) -> PrivateCa:
    return PrivateCa(tmp_path)


def test_a_good_pair_makes_a_context_of_todays_tls(ca: PrivateCa):
    context = server_context(with_tls(*ca.certificate("web")))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_without_tls_only_this_machine_is_served(ca: PrivateCa):
    assert server_context(settings()) is None
    assert server_context(settings(web_host="::1")) is None
    with pytest.raises(Invalid, match=r"On 0\.0\.0\.0 without TLS"):
        server_context(settings(web_host="0.0.0.0"))


def test_who_has_a_proxy_that_speaks_tls_says_so():
    assert server_context(settings(web_host="0.0.0.0", web_plain_http=True)) is None


def test_a_certificate_without_its_key_is_half_a_setting(ca: PrivateCa):
    certificate, key = ca.certificate("web")
    for pair, missing in (((certificate, None), "web_tls_key"), ((None, key), "web_tls_cert")):
        with pytest.raises(Invalid, match=f"{missing} is not set"):
            server_context(with_tls(*pair))


def test_people_must_be_sent_to_https(ca: PrivateCa):
    with pytest.raises(Invalid, match=r"public_url is http://ops\.example"):
        server_context(with_tls(*ca.certificate("web"), url="http://ops.example"))


def test_files_that_are_not_there_are_named(ca: PrivateCa, tmp_path: Path):
    certificate, key = ca.certificate("web")
    with pytest.raises(Invalid, match=r"web_tls_cert: .*lost\.pem can't be read: No such file"):
        server_context(with_tls(tmp_path / "lost.pem", key))
    with pytest.raises(Invalid, match=r"web_tls_key: .*lost\.key can't be read: No such file"):
        server_context(with_tls(certificate, tmp_path / "lost.key"))


def test_a_key_that_everybody_can_read_is_refused(ca: PrivateCa):
    certificate, key = ca.certificate("web")
    key.chmod(0o640)
    assert server_context(with_tls(certificate, key)) is not None
    key.chmod(0o644)
    with pytest.raises(Invalid, match="chmod o="):
        server_context(with_tls(certificate, key))


def test_a_key_of_another_certificate_is_refused(ca: PrivateCa):
    certificate, _ = ca.certificate("web")
    _, other = ca.certificate("other")
    with pytest.raises(Invalid, match="is not the one of the certificate"):
        server_context(with_tls(certificate, other))


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(ca: PrivateCa):
    certificate, key = ca.certificate("web")
    key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"secret"))
    with pytest.raises(Invalid, match="is encrypted"):
        server_context(with_tls(certificate, key))


def test_files_in_which_something_else_stands_are_refused(ca: PrivateCa):
    certificate, key = ca.certificate("web")
    with pytest.raises(Invalid, match="holds no certificate"):
        server_context(with_tls(key, key))
    key.write_bytes(certificate.read_bytes())
    with pytest.raises(Invalid, match="holds no private key"):
        server_context(with_tls(certificate, key))


def test_a_certificate_that_is_over_is_refused(ca: PrivateCa):
    with pytest.raises(Invalid, match="was valid until"):
        server_context(with_tls(*ca.certificate("old", valid=timedelta(days=-1))))


def test_an_empty_variable_unsets_what_the_file_says(monkeypatch: pytest.MonkeyPatch):
    Path("opsgate.toml").write_text('web_tls_cert = "/etc/web.pem"\nweb_tls_key = "/etc/web.key"\n')
    assert settings().web_tls_cert == Path("/etc/web.pem")
    for name in ("CERT", "KEY"):
        monkeypatch.setenv(f"OPSGATE_WEB_TLS_{name}", "")
    assert (settings().web_tls_cert, settings().web_tls_key) == (None, None)


def test_the_web_process_ends_with_the_sentence(ca: PrivateCa):
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OPSGATE_DATABASE_URL": "postgresql://nowhere",
        "OPSGATE_WEB_TLS_CERT": str(ca.file),
    }
    command = [sys.executable, "-m", "deployments.cli", "web"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "web_tls_key is not set" in done.stderr
    assert "Traceback" not in done.stderr
