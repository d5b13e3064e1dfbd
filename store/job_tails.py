"""The end of what jobs printed, as text. Changes nothing."""

from collections.abc import Sequence

from store.connection import Tx

TAIL_BYTES = 4096
_ALL_TAILS_BYTES = 256 * 1024


async def tails(tx: Tx, jobs: Sequence[tuple[int, int]]) -> dict[tuple[int, str], str]:
    """By (job, stream) the end of both streams of each (job, attempt).

    At most TAIL_BYTES each, and less when there are very many jobs.
    """
    keep = max(256, min(TAIL_BYTES, _ALL_TAILS_BYTES // max(1, len(jobs))))
    rows = await tx.fetch(
        """SELECT w.job_id, s.stream, (
               SELECT string_agg(o.data, ''::bytea ORDER BY o.seq) FROM job_output o
               WHERE o.job_id = w.job_id AND o.attempt = w.attempt AND o.stream = s.stream
                 AND o.byte_offset + octet_length(o.data) > (
                     SELECT l.byte_offset + octet_length(l.data) - $3 FROM job_output l
                     WHERE l.job_id = w.job_id AND l.attempt = w.attempt AND l.stream = s.stream
                     ORDER BY l.seq DESC LIMIT 1)) AS data
           FROM unnest($1::bigint[], $2::int[]) AS w (job_id, attempt)
           CROSS JOIN (VALUES ('stdout'), ('stderr')) AS s (stream)""",
        [job_id for job_id, _ in jobs],
        [attempt for _, attempt in jobs],
        keep,
    )
    return {(row["job_id"], row["stream"]): tail_text(row["data"] or b"", keep) for row in rows}


def tail_text(data: bytes, keep: int) -> str:
    """The last `keep` bytes as text, not beginning inside a character."""
    if len(data) > keep:
        data = data[-keep:]
        start = next((at for at in range(min(4, len(data))) if data[at] & 0xC0 != 0x80), 0)
        data = data[start:]
    return data.decode("utf-8", "replace")
