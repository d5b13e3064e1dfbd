"""The audit chain in PostgreSQL: who may change a row, who is chained when, what verification finds."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from definitions.audit_chain import Checkpoint, Verdict
from definitions.errors import NotPermitted
from definitions.permissions import SYSTEM, Actor
from store import audit, audit_chain, audit_verification
from store.audit_keys import PublicKeys, Signer
from store.connection import Database
from store.sealing import KEY_BYTES

SIGNER = Signer([b"s" * KEY_BYTES])
STRANGER = Signer([b"x" * KEY_BYTES])
ANN = Actor("user", 1, "ann", frozenset({"audit.view"}))
ROWS = 1000


def public_keys(*signers: Signer) -> PublicKeys:
    import base64

    lines = [line for signer in signers for line in signer.public_lines().split()]
    return PublicKeys([base64.urlsafe_b64decode(line + "=") for line in lines])


async def write(db: Database, rows: int, first: int = 1) -> None:
    async with db.transaction() as tx:
        for number in range(first, first + rows):
            await audit.record(tx, SYSTEM, "job.dispatch", "job", number, host="web-1", ratio=0.1, n=number)


async def chain(db: Database, signer: Signer | None = SIGNER, **more: Any) -> int:
    return await audit_chain.extend(db, signer, **more)


async def verify(db: Database, kept: Sequence[Checkpoint] = ()) -> Verdict:
    return await audit_verification.verify(db, ANN, public_keys(SIGNER), kept)


@asynccontextmanager
async def tampering(db: Database) -> AsyncIterator[Any]:
    """A transaction of somebody who may switch off what guards the tables."""
    async with db.transaction() as tx:
        await tx.execute("SET LOCAL session_replication_role = replica")
        yield tx


@asynccontextmanager
async def undone(db: Database) -> AsyncIterator[Any]:
    """The same, and nothing of it stays."""
    async with db.connection() as tx:
        transaction = tx.transaction()
        await transaction.start()
        await tx.execute("SET LOCAL session_replication_role = replica")
        yield tx
        await transaction.rollback()


async def places(db: Database) -> list[tuple[int, int]]:
    return [tuple(row) for row in await db.fetch("SELECT seq, audit_id FROM audit_chain ORDER BY seq")]


async def test_rows_are_chained_and_signed_and_found_whole(db: Database) -> None:
    await write(db, 3)
    assert await chain(db, checkpoint_now=True) == 3
    assert await chain(db) == 0
    found = await verify(db)
    assert (found.good, found.rows, found.signed_to) == (True, 3, 3)


@pytest.mark.parametrize("table", ["audit", "audit_chain", "audit_checkpoints"])
@pytest.mark.parametrize(
    "deed",
    ["DELETE FROM {}", "UPDATE {} SET {} = {}", "TRUNCATE {} CASCADE"],
    ids=["delete", "update", "cut"],
)
async def test_no_statement_of_the_application_changes_what_was_written(
    db: Database, table: str, deed: str
) -> None:
    await write(db, 1)
    await chain(db, checkpoint_now=True)
    column = "actor_name" if table == "audit" else "hash"
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=f"{table} are never changed"):
        await db.execute(deed.format(table, column, column))


async def test_a_row_whose_transaction_commits_late_is_chained_after_those_with_higher_numbers(
    db: Database,
) -> None:
    async with db.transaction() as late:
        await audit.record(late, SYSTEM, "slow", "job", 1)
        await write(db, 2)
        assert await chain(db) == 2
    assert await chain(db) == 1
    assert await places(db) == [(1, 2), (2, 3), (3, 1)]
    assert (await verify(db)).good


async def test_a_transaction_that_was_rolled_back_leaves_a_gap_in_numbers_and_none_in_the_chain(
    db: Database,
) -> None:
    async with undone(db) as tx:
        await audit.record(tx, SYSTEM, "lost", "job", 1)
    await write(db, 1)
    await chain(db)
    assert await places(db) == [(1, 2)]
    assert (await verify(db)).good


async def test_writers_at_once_make_one_chain(db: Database) -> None:
    async def add(number: int) -> None:
        for each in range(20):
            await write(db, 1, number * 100 + each)
            await chain(db)

    await asyncio.gather(*(add(number) for number in range(6)))
    await chain(db)
    found = await verify(db)
    assert (found.good, found.rows) == (True, 120)


async def test_a_large_backlog_is_chained_batch_by_batch(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_chain, "BATCH", 40)
    await write(db, 100)
    assert [await chain(db) for _ in range(4)] == [40, 40, 20, 0]
    assert (await verify(db)).rows == 100


async def test_a_checkpoint_is_signed_when_enough_rows_or_enough_time_have_come(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_chain, "CHECKPOINT_ROWS", 5)

    async def signed() -> list[int]:
        return [row["seq"] for row in await db.fetch("SELECT seq FROM audit_checkpoints ORDER BY id")]

    await write(db, 4)
    await chain(db)
    assert await signed() == []
    await write(db, 1)
    await chain(db)
    assert await signed() == [5]
    async with tampering(db) as tx:
        await tx.execute("SET LOCAL session_replication_role = origin")
        age = timedelta(seconds=audit_chain.CHECKPOINT_SECONDS + 1)
        await tx.execute(
            """INSERT INTO audit (at, actor_kind, actor_name, action, subject_kind)
               VALUES (now() - $1::interval, 'system', 'opsgate', 'x', 'y')""",
            age,
        )
    await chain(db)
    assert await signed() == [5, 6]
    await chain(db)
    assert await signed() == [5, 6]


EDIT = "UPDATE audit SET actor_name = 'eve' WHERE id = $1"
REMOVE = ["DELETE FROM audit_chain WHERE audit_id = $1", "DELETE FROM audit WHERE id = $1"]
EXCHANGE = [
    "UPDATE audit_chain SET seq = seq + 1000000 WHERE audit_id IN ($1::bigint, $1::bigint + 1)",
    "UPDATE audit_chain SET seq = 2 * $1::bigint + 1000001 - seq WHERE seq > 1000000",
]
DEEDS: dict[str, list[str]] = {
    "an edited name": [EDIT],
    "an edited number in the detail": [
        "UPDATE audit SET detail = jsonb_set(detail, '{ratio}', '0.1000000000000000055') WHERE id = $1"
    ],
    "a moved moment": ["UPDATE audit SET at = at + interval '1 microsecond' WHERE id = $1"],
    "a row removed with its place": REMOVE,
    "a row removed": REMOVE[1:],
    "a place removed": REMOVE[:1],
    "two rows exchanged": EXCHANGE,
}


@pytest.fixture
async def thousand(db: Database) -> Database:
    await write(db, ROWS)
    await chain(db, checkpoint_now=True)
    return db


async def test_whatever_is_done_to_any_of_a_thousand_rows_is_found(thousand: Database) -> None:
    chosen = [1, ROWS - 1, *random.Random(8).sample(range(2, ROWS - 1), 6)]
    for name, deed in DEEDS.items():
        for row in chosen:
            async with undone(thousand) as tx:
                for sql in deed:
                    await tx.execute(sql, row)
                verdict = await audit_verification.look(tx, public_keys(SIGNER))
                assert not verdict.good, (name, row)
                assert (verdict.wrong_seq or row) in (row, row + 1), (name, row, verdict)
    assert (await verify(thousand)).good


async def test_a_cut_tail_is_missed_by_the_newest_checkpoint(thousand: Database) -> None:
    async with tampering(thousand) as tx:
        await tx.execute("DELETE FROM audit_chain WHERE seq > 900")
        await tx.execute("DELETE FROM audit WHERE id > 900")
    found = await verify(thousand)
    assert (found.good, found.wrong_seq) == (False, 901)


async def test_a_tail_cut_with_its_checkpoints_is_missed_by_one_that_was_exported(thousand: Database) -> None:
    kept = (await audit_verification.checkpoints(thousand, ANN)).items
    async with tampering(thousand) as tx:
        await tx.execute("DELETE FROM audit_chain WHERE seq > 900")
        await tx.execute("DELETE FROM audit WHERE id > 900")
        await tx.execute("DELETE FROM audit_checkpoints")
    assert (await verify(thousand)).good, "nothing in the database shows it"
    found = await verify(thousand, kept)
    assert (found.good, found.wrong_seq) == (False, 901)


async def test_a_chain_made_anew_by_somebody_without_the_key_is_found(thousand: Database) -> None:
    async with tampering(thousand) as tx:
        await tx.execute(EDIT, 500)
        await tx.execute("INSERT INTO audit_unchained SELECT id FROM audit")
        await tx.execute("DELETE FROM audit_chain")
    await chain(thousand, None)
    found = await verify(thousand)
    assert (found.good, found.wrong_seq) == (False, ROWS)
    async with tampering(thousand) as tx:
        await tx.execute("DELETE FROM audit_checkpoints")
    await chain(thousand, STRANGER, checkpoint_now=True)
    assert "not signed by a known key" in (await verify(thousand)).sentence


async def test_a_row_put_in_behind_the_writers_back_is_found(db: Database) -> None:
    await write(db, 2)
    await chain(db)
    async with tampering(db) as tx:
        await tx.execute(
            """INSERT INTO audit (actor_kind, actor_name, action, subject_kind)
               VALUES ('user', 'eve', 'x', 'y')"""
        )
    found = await verify(db)
    assert (found.good, found.wrong_id) == (False, 3)


async def test_a_row_that_still_waits_for_its_place_is_not_wrong(db: Database) -> None:
    await write(db, 2)
    assert (await verify(db)).good


async def test_an_export_comes_page_by_page_and_in_order(db: Database) -> None:
    await write(db, 5)
    await chain(db)
    first = await audit_verification.export(db, ANN, limit=3)
    rest = await audit_verification.export(db, ANN, limit=3, after=first.next)
    assert [entry.seq for entry in (*first.items, *rest.items)] == [1, 2, 3, 4, 5]
    assert rest.next is None


async def test_a_rotated_key_verifies_what_the_one_before_has_signed(db: Database) -> None:
    await write(db, 1)
    await chain(db, STRANGER, checkpoint_now=True)
    await write(db, 1)
    await chain(db, SIGNER, checkpoint_now=True)
    both = await audit_verification.verify(db, ANN, public_keys(SIGNER, STRANGER))
    assert (both.good, both.checkpoints) == (True, 2)


async def test_only_who_may_read_the_trail_may_verify_it(db: Database) -> None:
    nobody = Actor("user", 2, "sam")
    for use_case in (audit_verification.export, audit_verification.checkpoints):
        with pytest.raises(NotPermitted):
            await use_case(db, nobody)
    with pytest.raises(NotPermitted):
        await audit_verification.verify(db, nobody, None)


async def test_what_somebody_has_edited_is_not_signed_by_our_own_key(
    thousand: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer([b"s" * KEY_BYTES], tmp_path / "audit-key.last")
    await write(thousand, 1)
    await chain(thousand, signer, checkpoint_now=True)
    async with tampering(thousand) as tx:
        await tx.execute(EDIT, 500)
        await tx.execute("INSERT INTO audit_unchained SELECT id FROM audit")
        await tx.execute("DELETE FROM audit_chain")
        await tx.execute("DELETE FROM audit_checkpoints")
    while await chain(thousand, signer, checkpoint_now=True):
        pass
    assert await thousand.fetchval("SELECT count(*) FROM audit_checkpoints") == 0
    assert (await verify(thousand)).good, "for a while: it is not long since they were written"
    monkeypatch.setattr(audit_verification, "UNSIGNED_SECONDS", 0)
    found = await verify(thousand)
    assert (found.good, "should have been signed" in found.sentence) == (False, True)


async def test_a_chain_made_anew_under_its_checkpoints_is_not_signed(thousand: Database) -> None:
    async with tampering(thousand) as tx:
        await tx.execute(EDIT, 500)
        await tx.execute("INSERT INTO audit_unchained SELECT id FROM audit")
        await tx.execute("DELETE FROM audit_chain")
    await write(thousand, 1)
    while await chain(thousand, checkpoint_now=True):
        pass
    assert await thousand.fetchval("SELECT count(*) FROM audit_checkpoints") == 1


async def test_a_checkpoint_that_was_taken_out_is_missed_by_those_after_it(db: Database) -> None:
    for number in range(3):
        await write(db, 1, number)
        await chain(db, checkpoint_now=True)
    assert (await verify(db)).checkpoints == 3
    async with tampering(db) as tx:
        await tx.execute("DELETE FROM audit_checkpoints WHERE seq = 2")
    assert "not signed by a known key" in (await verify(db)).sentence
