"""`opsgate audit`: verifying on the server, and from files alone."""

import asyncio
import json
from pathlib import Path

import pytest

from store import audit_chain
from store.audit_keys import read_signer
from store.connection import Database
from tests.deployments.conftest import Opsgate, Server


@pytest.fixture(scope="module")
def audited(keyed_server: Server) -> tuple[Server, Path]:
    """The server and its public key; the rows of its first start are chained and signed."""
    key = keyed_server.folder.path.parent / "audit-key"
    asyncio.run(chain(keyed_server, key))
    return keyed_server, key.with_name("audit-key.pub")


async def chain(server: Server, key: Path) -> None:
    db = await Database.connect(server.database_url, max_size=1)
    assert await audit_chain.extend(db, read_signer(key), checkpoint_now=True) > 3
    await db.close()


def test_the_server_verifies_its_own_trail(opsgate: Opsgate, audited: tuple[Server, Path]) -> None:
    done = opsgate("audit", "verify", beside=audited[0])
    assert done.code == 0
    assert "whole, signed up to place" in done.out


def test_an_export_is_verified_without_a_server_and_a_change_in_it_is_found(
    opsgate: Opsgate, audited: tuple[Server, Path], tmp_path: Path
) -> None:
    server, public = audited
    export, points = tmp_path / "trail.jsonl", tmp_path / "points.jsonl"
    export.write_text(opsgate("audit", "export", beside=server).out)
    points.write_text(opsgate("audit", "checkpoints", beside=server).out)
    offline = ("audit", "verify", "--checkpoints", str(points), "--public-keys", str(public), "--export")
    done = opsgate(*offline, str(export))
    assert (done.code, done.out.count("signed up to place")) == (0, 1)
    lines = export.read_text().splitlines()
    export.write_text("\n".join([lines[0], lines[1].replace('"opsgate"', '"eve"'), *lines[2:]]))
    done = opsgate(*offline, str(export), "--json")
    assert (done.code, done.json["wrong_seq"]) == (1, 2)
    export.write_text("\n".join(lines[:-1]))
    assert "are gone" in opsgate(*offline, str(export)).out


def test_a_checkpoint_kept_elsewhere_is_compared_with_the_server(
    opsgate: Opsgate, audited: tuple[Server, Path], tmp_path: Path
) -> None:
    points = tmp_path / "points.jsonl"
    points.write_text(opsgate("audit", "checkpoints", beside=audited[0]).out)
    assert opsgate("audit", "verify", "--checkpoints", str(points)).code == 0
    kept = json.loads(points.read_text())
    points.write_text(json.dumps({**kept, "seq": kept["seq"] + 1}))
    done = opsgate("audit", "verify", "--checkpoints", str(points))
    assert done.code == 1
    assert done.out.startswith("WRONG")


def test_a_new_key_is_private_and_its_public_half_is_not(opsgate: Opsgate, tmp_path: Path) -> None:
    file = tmp_path / "audit-key"
    assert opsgate("audit", "new-key", str(file)).code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "audit-key.pub").read_text() == read_signer(file).public_lines()
    assert opsgate("audit", "new-key", str(file)).code == 2, "it would replace a key"


@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"seq": 1}'])
def test_a_file_that_is_no_export_is_wrong_use(opsgate: Opsgate, tmp_path: Path, content: str) -> None:
    file = tmp_path / "x"
    file.write_text(content)
    done = opsgate("audit", "verify", "--export", str(file))
    assert done.code == 2
    assert "Line 1" in done.err
