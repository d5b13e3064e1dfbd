"""However output comes in pieces, and whenever the agent dies, the server puts it together again."""

import asyncio
import base64
import hashlib
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.output import StreamOutput
from agent.protocol import CHUNK_BYTES, INLINE_OUTPUT_BYTES, OUTPUT_CAP_BYTES
from agent.spool import Spool


class Received:
    """What a server has of one stream: each seq once, always the same."""

    def __init__(self) -> None:
        self.chunks: dict[int, tuple[int, bytes]] = {}

    async def send(self, _stream: str, seq: int, offset: int, data: bytes) -> bool:
        assert 0 < len(data) <= CHUNK_BYTES
        assert self.chunks.setdefault(seq, (offset, data)) == (offset, data)
        return True

    def whole(self) -> bytes:
        assert [self.chunks[seq][0] for seq in sorted(self.chunks)] == [
            sum(len(self.chunks[n][1]) for n in range(seq)) for seq in range(len(self.chunks))
        ]
        return b"".join(self.chunks[seq][1] for seq in sorted(self.chunks))


PIECES = st.lists(
    st.tuples(
        st.sampled_from([1, 7, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 200_000]), st.booleans()
    ),
    max_size=8,
)


@given(pieces=PIECES, dies_after=st.none() | st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_what_arrives_is_what_was_kept_also_when_the_agent_dies(pieces, dies_after):
    async def scenario(folder: Path) -> None:
        received = Received()
        written = b""
        out = StreamOutput("stdout", Spool(folder / "spool"))
        shipping = asyncio.create_task(out.ship(received.send))
        for n, (length, pause) in enumerate(pieces):
            if n == dies_after:
                break
            data = bytes([n + 1]) * length
            written += data
            out.feed(data)
            if pause:
                await asyncio.sleep(0)
        if dies_after is None:
            report = out.finish()
            await shipping
        else:
            shipping.cancel()
            out = StreamOutput("stdout", Spool(folder / "spool"))
            report = out.finish()
            await out.ship(received.send)
            assert written.startswith(received.whole())
            written = received.whole()
        if report.inline is not None:
            assert len(written) <= INLINE_OUTPUT_BYTES
            assert not received.chunks
            assert base64.b64decode(report.inline) == written
        else:
            assert received.whole() == written
        assert (report.length, report.total, report.truncated) == (len(written), len(written), False)
        assert report.sha256 == hashlib.sha256(written).hexdigest()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


@given(frames=st.lists(st.binary(min_size=1, max_size=50), max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_torn_last_frame_is_dropped_and_the_next_one_follows_the_whole_ones(frames, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        spool = Spool(path)
        for frame in frames:
            spool.append(frame)
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        again = Spool(path)
        kept = list(again.frames())
        assert kept == frames[: len(kept)]
        assert sum(4 + len(frame) for frame in frames[: len(kept) + 1]) > cut or len(kept) == len(frames)
        again.append(b"next")
        assert list(Spool(path).frames()) == [*kept, b"next"]


async def test_output_beyond_the_cap_is_counted_and_not_kept(tmp_path: Path):
    out = StreamOutput("stderr", Spool(tmp_path / "spool"))
    for _ in range(OUTPUT_CAP_BYTES // 1_000_000 + 2):
        out.feed(b"x" * 1_000_000)
    report = out.finish()
    assert report.length == OUTPUT_CAP_BYTES
    assert report.total == (OUTPUT_CAP_BYTES // 1_000_000 + 2) * 1_000_000
    assert report.truncated
    assert report.inline is None


async def test_a_full_disk_cuts_output_short_and_says_so(tmp_path: Path, monkeypatch):
    out = StreamOutput("stdout", Spool(tmp_path / "spool"))
    out.feed(b"a" * CHUNK_BYTES)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("os.write", full)
        out.feed(b"b" * CHUNK_BYTES)
    out.feed(b"c" * CHUNK_BYTES)
    report = out.finish()
    received = Received()
    await out.ship(received.send)
    assert received.whole() == b"a" * CHUNK_BYTES
    assert (report.length, report.total, report.truncated) == (CHUNK_BYTES, 3 * CHUNK_BYTES, True)
    assert report.sha256 == hashlib.sha256(b"a" * CHUNK_BYTES).hexdigest()
