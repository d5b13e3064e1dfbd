"""The journal keeps every record that was written whole, whatever happened to the end of the file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.journal import SEEN_KEPT, Entry, Journal, Key, decode, encode, fold
from agent.protocol import CompletedReport

ENTRIES = st.builds(
    Entry,
    job_id=st.integers(1, 4),
    attempt=st.integers(1, 2),
    state=st.sampled_from(["accepted", "started", "completed", "forgotten"]),
    report=st.none() | st.builds(CompletedReport, outcome=st.just("exited"), reason=st.text(max_size=8)),
)


@given(entries=st.lists(ENTRIES, max_size=8), data=st.data())
def test_a_torn_tail_costs_only_the_torn_record(entries, data):
    lines = [encode(entry) for entry in entries]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    survivors = [entry for n, entry in enumerate(entries) if sum(map(len, lines[: n + 1])) <= cut]
    assert decode(whole[:cut]) == survivors


@given(
    entries=st.lists(ENTRIES, max_size=4), garbage=st.binary(max_size=40), more=st.lists(ENTRIES, max_size=3)
)
def test_garbage_between_records_is_skipped(entries, garbage, more):
    content = (
        b"".join(map(encode, entries)) + garbage.replace(b"\n", b" ") + b"\n" + b"".join(map(encode, more))
    )
    assert decode(content) == entries + more


@given(entry=ENTRIES, data=st.data())
def test_a_changed_byte_is_noticed(entry, data):
    line = bytearray(encode(entry))
    place = data.draw(st.integers(0, len(line) - 2))
    line[place] = (line[place] + data.draw(st.integers(1, 255))) % 256
    assert entry not in decode(bytes(line))


@given(entries=st.lists(ENTRIES, max_size=10))
def test_no_record_takes_an_attempt_back(entries):
    order = ["accepted", "started", "completed", "forgotten"]
    for key, entry in fold(entries).items():
        assert order.index(entry.state) == max(order.index(e.state) for e in entries if e.key == key)


@pytest.mark.parametrize("tail", [b"", b"deadbeef {", b"\0\0\0\0", b"garbage\n"])
def test_records_after_a_torn_tail_are_not_lost(tmp_path: Path, tail: bytes):
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.record(Entry(job_id=1, attempt=1, state="started"))
    journal.close()
    path.write_bytes(path.read_bytes() + tail)
    again = Journal(path)
    again.record(Entry(job_id=2, attempt=1, state="started"))
    again.close()
    assert [entry.job_id for entry in Journal(path).held()] == [1, 2]


def test_opening_drops_what_was_only_accepted_and_remembers_what_was_forgotten(tmp_path: Path):
    journal = Journal(tmp_path / "journal")
    for job_id, state in enumerate(["accepted", "started", "completed", "forgotten"], start=1):
        journal.record(Entry.model_validate({"job_id": job_id, "attempt": 1, "state": state}))
    journal.close()
    again = Journal(tmp_path / "journal")
    assert [entry.job_id for entry in again.held()] == [2, 3]
    assert [again.seen(Key(n, 1)) for n in (1, 2, 3, 4, 5)] == [False, True, True, True, False]


def test_the_memory_of_forgotten_attempts_is_bounded_and_keeps_the_latest(tmp_path: Path):
    path = tmp_path / "journal"
    lines = [encode(Entry(job_id=n, attempt=1, state="forgotten")) for n in range(1, SEEN_KEPT + 101)]
    path.write_bytes(b"".join(lines))
    journal = Journal(path)
    assert not journal.seen(Key(100, 1))
    assert journal.seen(Key(101, 1))
    assert journal.seen(Key(SEEN_KEPT + 100, 1))


def test_a_full_disk_is_told_and_the_next_record_mends_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    journal = Journal(tmp_path / "journal")
    journal.record(Entry(job_id=1, attempt=1, state="started"))
    real = __import__("os").write
    with monkeypatch.context() as broken:
        broken.setattr("os.write", lambda fd, line: real(fd, line[:10]))
        with pytest.raises(OSError, match="only 10 of"):
            journal.record(Entry(job_id=2, attempt=1, state="started"))
    journal.record(Entry(job_id=3, attempt=1, state="started"))
    journal.close()
    assert [entry.job_id for entry in Journal(tmp_path / "journal").held()] == [1, 2, 3]
