"""The audit chain: whatever is done to 1,000 rows, the first wrong one is named."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from definitions.audit_chain import (
    BEGINNING,
    Check,
    Checkpoint,
    Entry,
    Verdict,
    checkpoint_bytes,
    hash_of_entry,
)

START = datetime(2026, 11, 1, tzinfo=UTC)
ROWS = 1000


def linked(entry: Entry, previous: str, **changes: Any) -> Entry:
    changed = entry.model_copy(update={"previous": previous, **changes})
    return changed.model_copy(update={"hash": hash_of_entry(changed)})


def chain(rows: int = ROWS) -> list[Entry]:
    entries: list[Entry] = []
    head = BEGINNING
    for seq in range(1, rows + 1):
        entry = Entry(
            seq=seq, id=seq + 100, at=START + timedelta(seconds=seq), actor_kind="user", actor_id=seq % 7,
            actor_name="ann", action="job.dispatch", subject_kind="job", subject_id=seq, detail='{"n": 1}',
            previous="", hash="",
        )  # fmt: skip
        entries.append(linked(entry, head))
        head = entries[-1].hash
    return entries


WHOLE = chain()


def signature(seq: int, head: str) -> str:
    """What stands for a signature here; the real one is the store's."""
    return checkpoint_bytes(1, "", seq, head, START).hex()


def point(seq: int, entries: list[Entry] = WHOLE) -> Checkpoint:
    head = entries[seq - 1].hash
    return Checkpoint(
        number=1, previous="", seq=seq, hash=head, at=START, key="k", signature=signature(seq, head)
    )


def is_signed(checkpoint: Checkpoint) -> bool:
    return checkpoint.signature == signature(checkpoint.seq, checkpoint.hash)


def verdict(entries: list[Entry], *points: Checkpoint) -> Verdict:
    check = Check(points, is_signed)
    for entry in entries:
        check.take(entry)
    return check.finish()


def made_anew(entries: list[Entry], place: int) -> list[Entry]:
    """The chain as somebody would mend it who may write everything but can not sign."""
    mended, head = entries[: place - 1], entries[place - 2].hash if place > 1 else BEGINNING
    for seq, entry in enumerate(entries[place - 1 :], place):
        mended.append(linked(entry, head, seq=seq))
        head = mended[-1].hash
    return mended


def test_a_whole_chain_is_good_as_far_as_it_is_signed() -> None:
    found = verdict(WHOLE, point(400), point(900))
    assert (found.good, found.rows, found.checkpoints, found.signed_to) == (True, ROWS, 2, 900)
    assert "signed up to place 900" in found.sentence


def test_an_empty_trail_is_good() -> None:
    assert verdict([]).good
    assert verdict(WHOLE[:1]).sentence == "1 row is whole, none of them signed yet."


def test_without_a_public_key_it_says_that_signatures_were_not_checked() -> None:
    check = Check([point(400)], None)
    check.take(WHOLE[0])
    assert "not checked" in check.finish().sentence


CHANGES: dict[str, Any] = {
    "id": 5, "at": START, "actor_kind": "agent", "actor_id": None, "actor_name": "eve",
    "action": "job.delete", "subject_kind": "host", "subject_id": 9, "detail": '{"n": 2}',
}  # fmt: skip


@pytest.mark.parametrize("field", list(CHANGES))
@pytest.mark.parametrize("place", [1, 2, 500, ROWS])
def test_an_edit_of_any_field_of_a_row_is_found(field: str, place: int) -> None:
    entries = list(WHOLE)
    entries[place - 1] = entries[place - 1].model_copy(update={field: CHANGES[field]})
    found = verdict(entries)
    assert (found.good, found.wrong_seq, found.rows) == (False, place, place - 1)
    assert found.wrong_id == entries[place - 1].id


def delete(entries: list[Entry], place: int) -> None:
    del entries[place - 1]


def swap(entries: list[Entry], place: int) -> None:
    entries[place - 1], entries[place] = entries[place], entries[place - 1]


def swap_content(entries: list[Entry], place: int) -> None:
    one, other = entries[place - 1], entries[place]
    entries[place - 1] = other.model_copy(update={"seq": one.seq})
    entries[place] = one.model_copy(update={"seq": other.seq})


def double(entries: list[Entry], place: int) -> None:
    entries.insert(place - 1, entries[place - 2] if place > 1 else entries[0])


def slip_in(entries: list[Entry], place: int) -> None:
    before = entries[place - 2].hash if place > 1 else BEGINNING
    entries.insert(place - 1, linked(entries[place - 1], before, id=7, seq=place))


DEEDS: list[Callable[[list[Entry], int], None]] = [delete, swap, swap_content, double, slip_in]


@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_removed_moved_or_added_is_found_where_it_was_done(
    deed: Callable[[list[Entry], int], None],
) -> None:
    for place in [1, 2, ROWS - 1, *random.Random(5).sample(range(3, ROWS - 2), 10)]:
        entries = list(WHOLE)
        deed(entries, place)
        found = verdict(entries)
        assert not found.good
        assert found.wrong_seq in (place, place + 1), (deed, place, found)


@pytest.mark.parametrize("deed", DEEDS)
def test_a_chain_made_anew_does_not_agree_with_what_was_signed(
    deed: Callable[[list[Entry], int], None],
) -> None:
    entries = list(WHOLE)
    deed(entries, 300)
    assert verdict(made_anew(entries, 300)).good, "nothing else shows it"
    found = verdict(made_anew(entries, 300), point(200), point(800))
    assert (found.good, found.signed_to) == (False, 200)
    assert found.wrong_seq == 800


def test_a_tail_that_was_cut_off_is_missed_by_the_checkpoint_beyond_it() -> None:
    found = verdict(WHOLE[:700], point(600), point(900))
    assert (found.good, found.wrong_seq) == (False, 701)
    assert "from place 701 to 900 are gone" in found.sentence


def test_a_tail_cut_off_with_its_checkpoints_is_missed_only_by_one_kept_elsewhere() -> None:
    assert verdict(WHOLE[:700], point(600)).good
    kept = point(900)
    assert not verdict(WHOLE[:700], point(600), kept).good


def test_a_checkpoint_that_nobody_known_has_signed_is_not_believed() -> None:
    mended = made_anew([*WHOLE[:299], *WHOLE[300:]], 300)
    forged = point(800, mended).model_copy(update={"signature": "00"})
    found = verdict(mended, forged)
    assert (found.good, found.wrong_seq) == (False, 800)
    assert "not signed by a known key" in found.sentence


def test_the_first_wrong_row_is_the_one_named() -> None:
    entries = list(WHOLE)
    for place in (800, 300, 500):
        entries[place - 1] = entries[place - 1].model_copy(update={"actor_name": "eve"})
    assert verdict(entries, point(900)).wrong_seq == 300


def test_an_entry_is_the_same_after_an_export() -> None:
    exported = [Entry.model_validate_json(entry.model_dump_json()) for entry in WHOLE[:50]]
    assert verdict(exported).good


def test_how_far_the_rows_are_signed_is_known_as_they_come() -> None:
    check = Check([point(2)], is_signed)
    assert check.signed_to == 0
    for entry in WHOLE[:3]:
        check.take(entry)
    assert check.signed_to == 2
