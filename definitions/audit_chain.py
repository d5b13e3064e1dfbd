"""The audit chain: what is hashed of a row of the audit trail, and whether a chain is whole. Pure.

The hash of a row covers the row, its place and the hash before it: who changes, removes, adds or moves
one changes every hash after it. A checkpoint fixes the hash at one place and is signed, so that a chain
made anew from there on is found out. Signing is `store.audit_keys`, the tables are `store.audit_chain`.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

BEGINNING = "0" * 64
"""What stands as the hash before the first row."""

_PURPOSE = "opsgate audit checkpoint 2"


class Entry(BaseModel):
    """A row of the trail in its place, as it is exported: one a line."""

    model_config = ConfigDict(frozen=True)

    seq: int
    """Its place, from 1 on, without a gap."""
    id: int
    """The row's number; of transactions that ran at once the later one may have the lower."""
    at: AwareDatetime
    actor_kind: str
    actor_id: int | None
    actor_name: str
    action: str
    subject_kind: str
    subject_id: int | None
    detail: str
    """JSON, as PostgreSQL writes it."""
    previous: str
    hash: str


class Checkpoint(BaseModel):
    """Signed: the first `seq` rows end with this hash."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Which checkpoint it is, from 1 on."""
    previous: str
    """The signature of the one before it, hex; empty at the first. With the number it makes one that was
    removed be missed."""
    seq: int
    hash: str
    at: AwareDatetime
    key: str
    """Which key signed it: the beginning of the SHA-256 of the public one, hex."""
    signature: str
    """Ed25519 over `checkpoint_bytes`, hex."""


class Verdict(BaseModel):
    """What checking a chain has found."""

    model_config = ConfigDict(frozen=True)

    good: bool
    sentence: str
    rows: int
    """How many are right, from the first on."""
    wrong_seq: int | None = None
    """The first place that is wrong."""
    wrong_id: int | None = None
    """The row of the trail that is wrong, where it can be told."""
    checkpoints: int = 0
    """How many signed checkpoints agree."""
    signed_to: int = 0
    """The rows up to here stand under a signature that was checked."""


def hash_of(previous: str, seq: int, row: Sequence[object], at: datetime) -> str:
    """SHA-256, hex. `row`: id, actor_kind, actor_id, actor_name, action, subject_kind, subject_id, detail."""
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    content = json.dumps([previous, seq, moment, *row], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(content.encode("ascii")).hexdigest()


def hash_of_entry(entry: Entry) -> str:
    """What the entry's hash should be, going by everything else in it."""
    row = (
        entry.id, entry.actor_kind, entry.actor_id, entry.actor_name,
        entry.action, entry.subject_kind, entry.subject_id, entry.detail,
    )  # fmt: skip
    return hash_of(entry.previous, entry.seq, row, entry.at)


def checkpoint_bytes(number: int, previous: str, seq: int, head: str, at: datetime) -> bytes:
    """What is signed of a checkpoint."""
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    return json.dumps([_PURPOSE, number, previous, seq, head, moment], separators=(",", ":")).encode("ascii")


class Check:
    """Goes along a chain from its first row. Stops looking at the first that is wrong.

    `signed` says whether a checkpoint's signature is that of a known key; None: no key is known, and
    what checkpoints say is not believed.
    """

    def __init__(
        self, checkpoints: Sequence[Checkpoint] = (), signed: Callable[[Checkpoint], bool] | None = None
    ) -> None:
        self._rows = 0
        self._head = BEGINNING
        self._agreed = 0
        self._signed_to = 0
        self._wrong: Verdict | None = None
        self._believes = signed is not None
        self._forged = [point for point in checkpoints if signed is not None and not signed(point)]
        self._ahead: dict[int, list[Checkpoint]] = defaultdict(list)
        for point in checkpoints:
            if signed is not None and point not in self._forged:
                self._ahead[point.seq].append(point)

    @property
    def found(self) -> bool:
        """Whether something is wrong: nothing after it is looked at."""
        return self._wrong is not None

    @property
    def signed_to(self) -> int:
        """The rows up to here stand under a checkpoint that agrees."""
        return self._signed_to

    def take(self, entry: Entry) -> None:
        """The next row."""
        place = self._rows + 1
        if self.found:
            return
        if entry.seq > place:
            self.wrong(f"The row at place {place} is gone.", place)
        elif entry.seq < place:
            self.wrong(f"Place {entry.seq} comes again after place {self._rows}.", place, entry.id)
        elif entry.previous != self._head:
            self.wrong(f"Row {entry.id} does not follow the row before it.", place, entry.id)
        elif entry.hash != hash_of_entry(entry):
            self.wrong(f"Row {entry.id} is not what was chained.", place, entry.id)
        elif any(point.hash != entry.hash for point in self._ahead[place]):
            sentence = f"Row {entry.id}, or one before it, is not what a checkpoint has signed."
            self.wrong(sentence, place, entry.id)
        else:
            self._rows, self._head = place, entry.hash
            points = self._ahead.pop(place)
            self._agreed += len(points)
            self._signed_to = place if points else self._signed_to

    def wrong(self, sentence: str, seq: int | None = None, row_id: int | None = None) -> None:
        """Note what is wrong, if nothing was before it."""
        if self._wrong is None:
            self._wrong = self._verdict(False, sentence, seq, row_id)

    def finish(self) -> Verdict:
        """The verdict, when no more rows come."""
        beyond = [place for place in self._ahead if place > self._rows]
        if beyond:
            gone = f"The rows from place {self._rows + 1} to {max(beyond)} are gone: a checkpoint has them."
            self.wrong(gone, self._rows + 1)
        if self._forged:
            point = self._forged[0]
            self.wrong(f"The checkpoint at place {point.seq} is not signed by a known key.", point.seq)
        if self._wrong is not None:
            return self._wrong
        rows = f"{self._rows} {'row is' if self._rows == 1 else 'rows are'} whole"
        if not self._believes:
            return self._verdict(True, f"{rows}. Signatures were not checked: no public key is known.")
        signed = f"signed up to place {self._signed_to}" if self._signed_to else "none of them signed yet"
        return self._verdict(True, f"{rows}, {signed}.")

    def _verdict(
        self, good: bool, sentence: str, seq: int | None = None, row_id: int | None = None
    ) -> Verdict:
        return Verdict(
            good=good,
            sentence=sentence,
            rows=self._rows,
            wrong_seq=seq,
            wrong_id=row_id,
            checkpoints=self._agreed,
            signed_to=self._signed_to,
        )
