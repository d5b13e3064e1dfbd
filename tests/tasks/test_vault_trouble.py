"""A vault in every kind of trouble: each a real server, each with its own sentence, none for ever.

A vault that speaks TLS, has namespaces and is sealed is a real OpenBao that keeps nothing; what no vault
does is done by sockets.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from definitions.vault import Vault, parse_vault
from tasks import vault as tasks_vault
from tasks.vault import VaultClient
from tasks.vault_errors import VaultRefusal
from tests.deployments.private_ca import PrivateCa
from tests.live.passing_vault import PassingVault, free_port
from tests.tasks.test_vault import identity


@dataclass
class Trouble:
    """A vault that is there for a while, and who signed its certificate."""

    bao: PassingVault
    ca: PrivateCa
    folder: Path

    def vault(self, address: str, token: str = "root", **more: Any) -> VaultClient:
        """Signs in with a token, unless `auth` says otherwise."""
        file = self.folder / "token"
        file.write_text(token)
        auth = {"method": "token", "token": f"file:{file}"}
        made, problems = parse_vault({"name": "v", "address": address, "auth": auth, **more})
        assert isinstance(made, Vault), problems
        return VaultClient(made)


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trouble]:
    folder = tmp_path_factory.mktemp("passing")
    ca = PrivateCa(folder)
    with PassingVault(
        folder, ca.certificate("good"), ca.certificate("over", valid=-timedelta(days=1))
    ) as bao:
        yield Trouble(bao, ca, folder)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_vault, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(tasks_vault, "TRY_SECONDS", (2.0, 2.0))


async def said(client: VaultClient) -> tuple[str, str]:
    """How it is refused: the kind, and the sentence from the address on."""
    with pytest.raises(VaultRefusal) as refused:
        await client.test()
    return refused.value.kind, str(refused.value).partition(" at ")[2].partition(" ")[2]


async def test_a_private_ca_is_trusted_where_it_is_named_and_nowhere_else(
    trouble: Trouble, tmp_path: Path
) -> None:
    address, mine = trouble.bao.tls, str(trouble.ca.file)
    assert "knows Opsgate" in await trouble.vault(address, ca_file=mine).test()
    untrusted = ("unreachable", "shows a certificate that is not trusted here: see `ca_file`.")
    assert await said(trouble.vault(address)) == untrusted
    assert await said(trouble.vault(address, ca_file=str(PrivateCa(tmp_path).file))) == untrusted
    unread = ("unreachable", "can't be asked: its `ca_file` can't be read here.")
    assert await said(trouble.vault(address, ca_file=str(tmp_path / "none"))) == unread


async def test_a_certificate_that_is_over_or_for_another_name_is_told_apart(trouble: Trouble) -> None:
    mine = str(trouble.ca.file)
    over = await said(trouble.vault(trouble.bao.expired, ca_file=mine))
    assert over == ("unreachable", "shows a certificate that has expired.")
    elsewhere = trouble.bao.tls.replace("127.0.0.1", "127.0.0.2")
    other = await said(trouble.vault(elsewhere, ca_file=mine))
    assert other == ("unreachable", "shows a certificate that is for another name.")


async def test_tls_on_one_side_alone_is_said_so(trouble: Trouble) -> None:
    plain_to_tls = trouble.bao.tls.replace("https", "http")
    assert await said(trouble.vault(plain_to_tls)) == ("unfit", "speaks TLS: write https:// in its address.")
    tls_to_plain = trouble.bao.plain.replace("http", "https")
    assert await said(trouble.vault(tls_to_plain)) == (
        "unreachable",
        "does not speak TLS: is the address right?",
    )


async def test_what_is_in_a_namespace_is_found_there_alone(trouble: Trouble) -> None:
    trouble.bao.namespace("team")
    asked = identity("kv_password", "secret/deploy")
    trouble.bao.ask("POST", "secret/data/deploy", {"data": {"password": "of the team"}}, namespace="team")
    inside = trouble.vault(trouble.bao.plain, namespace="team")
    assert (await inside.read(asked)).secret == "of the team"
    with pytest.raises(VaultRefusal, match="has nothing at that path"):
        await trouble.vault(trouble.bao.plain).read(asked)
    nowhere = trouble.vault(trouble.bao.plain, namespace="nobodys")
    assert await said(nowhere) == ("not_found", "has no namespace nobodys.")


async def test_a_token_that_is_wrong_or_over_is_denied_and_not_repeated(trouble: Trouble) -> None:
    denied = ("denied", "refuses: the token is not valid, or its policy does not allow this.")
    assert await said(trouble.vault(trouble.bao.plain, "hvs.notthesecret")) == denied
    short = trouble.bao.ask("POST", "auth/token/create", {"ttl": "1s"})["auth"]["client_token"]
    passing = trouble.vault(trouble.bao.plain, short)
    async with asyncio.timeout(30):
        while (found := await ended(passing)) is None:
            pass
    assert found == "denied"


async def ended(client: VaultClient) -> str | None:
    """None while the token is good, for it is said that it ends; then how it is refused."""
    try:
        told = await client.test()
    except VaultRefusal as refused:
        return refused.kind
    assert "good for 0 more minutes" in told
    return None


async def test_an_approle_is_refused_whatever_is_wrong_with_it(trouble: Trouble) -> None:
    role, secret = trouble.bao.approle(secret_id_ttl="2h")
    (trouble.folder / "secret-id").write_text(secret)
    place = f"file:{trouble.folder / 'secret-id'}"
    auth = {"method": "approle", "role_id": role, "secret_id": place}
    assert "knows Opsgate" in await trouble.vault(trouble.bao.plain, auth=auth).test()
    unknown = ("denied", "does not know the AppRole: its role id or its secret id is wrong or over.")
    assert await said(trouble.vault(trouble.bao.plain, auth={**auth, "role_id": "nobody"})) == unknown
    (trouble.folder / "secret-id").write_text("notthesecret")
    assert await said(trouble.vault(trouble.bao.plain, auth=auth)) == unknown
    trouble.bao.ask("POST", "auth/approle/role/opsgate/secret-id/destroy", {"secret_id": secret})
    (trouble.folder / "secret-id").write_text(secret)
    assert await said(trouble.vault(trouble.bao.plain, auth=auth)) == unknown
    elsewhere = trouble.vault(trouble.bao.plain, auth={**auth, "mount": "other"})
    assert (await said(elsewhere))[0] == "denied"


async def test_a_path_that_the_policy_does_not_allow_is_denied(trouble: Trouble) -> None:
    weak = trouble.bao.ask("POST", "auth/token/create", {"policies": ["default"]})["auth"]["client_token"]
    with pytest.raises(VaultRefusal, match="its policy does not allow this") as refused:
        await trouble.vault(trouble.bao.plain, weak).read(identity("kv_password", "secret/deploy"))
    assert refused.value.kind == "denied"


Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server of this test that does this with every connection; its address."""
    listening: list[socket.socket] = []

    def start(answer: Callable[[socket.socket], None]) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection = server.accept()[0]
                    threading.Thread(target=answered, args=(connection,), daemon=True).start()

        def answered(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                answer(connection)

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in listening:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


def says(text: bytes) -> Callable[[socket.socket], None]:
    """Hears a request and answers this."""

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(text)

    return answer


PAGE = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: 7\r\nConnection: close\r\n\r\n<html/>"


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"403 Forbidden", b"400 Bad Request"])
async def test_another_kind_of_server_is_no_vault(trouble: Trouble, serve: Serve, status: bytes) -> None:
    found = await said(trouble.vault(serve(says(PAGE % status))))
    assert found == ("unfit", "answers as no vault does: is the address right?")


async def test_a_server_that_speaks_no_http_is_no_vault(trouble: Trouble, serve: Serve) -> None:
    found = await said(trouble.vault(serve(says(b"SSH-2.0-OpenSSH_9.2\r\n"))))
    assert found == ("unfit", "answers as no vault does: is the address right?")


async def test_one_behind_a_gateway_that_does_not_reach_it_is_in_trouble(
    trouble: Trouble, serve: Serve
) -> None:
    for status, name in ((b"502 Bad", "BadGateway"), (b"503 No", "VaultDown"), (b"500 Oh", "Internal")):
        kind, sentence = await said(trouble.vault(serve(says(PAGE % status))))
        assert (kind, f"is in trouble ({name}" in sentence) == ("unreachable", True), sentence


async def test_one_that_hangs_up_or_is_not_there_is_said_so(trouble: Trouble, serve: Serve) -> None:
    hangs_up = await said(trouble.vault(serve(lambda connection: None)))
    assert hangs_up == ("unreachable", "breaks the connection off.")
    gone = await said(trouble.vault(f"http://127.0.0.1:{free_port()}"))
    assert gone == ("unreachable", "does not answer: nothing listens there.")
    unknown = await said(trouble.vault("https://vault.invalid:8200"))
    assert unknown == ("unreachable", "is not known by that name here.")


async def test_one_that_accepts_and_never_answers_is_given_up_after_three_tries(
    trouble: Trouble, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_vault, "TRY_SECONDS", (0.3, 0.3))
    tries: list[int] = []

    def silent(connection: socket.socket) -> None:
        tries.append(1)
        while connection.recv(65536):
            pass

    assert await said(trouble.vault(serve(silent))) == ("unreachable", "does not answer in time.")
    assert len(tries) == 3


async def test_ten_calls_to_one_that_sends_a_byte_now_and_then_end_and_so_do_their_threads(
    trouble: Trouble, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red: without cutting the connections their places are never given back."""
    monkeypatch.setattr(tasks_vault, "MOST_SECONDS", 2.0)

    def drips(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            connection.sendall(b"a")
            time.sleep(0.05)

    address = serve(drips)
    found = await asyncio.gather(*(said(trouble.vault(address)) for _ in range(10)))
    assert set(found) == {("unreachable", "did not finish its answer within 2 s.")}
    places = tasks_vault._busy[asyncio.get_running_loop()][address]
    async with asyncio.timeout(30):
        for _ in range(8):  # so many threads may ask one vault at once
            await places.acquire()


async def test_a_sealed_one_is_said_to_be_and_one_that_was_unsealed_gives_again(trouble: Trouble) -> None:
    client = trouble.vault(trouble.bao.plain)
    assert "knows Opsgate" in await client.test()
    trouble.bao.ask("PUT", "sys/seal")
    assert await said(client) == ("sealed", "is sealed: unseal it.")
    trouble.bao.unseal()
    assert "knows Opsgate" in await client.test()
