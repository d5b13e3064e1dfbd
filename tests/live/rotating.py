"""Processes that do nothing but rotate, round after round as a keeper does: to be killed and followed.

For every line on standard input, the path of a failpoint's file or nothing, one such process: its id is
printed, then its exit status when it has ended. They are forked, so what they run is loaded once.
"""

import asyncio
import os
import sys
from pathlib import Path

from store.connection import Database
from store.sealing import read_keys
from tasks.rotation_rounds import RotationRounds


async def rotate() -> None:
    """Until it is ended."""
    keys = read_keys(Path(os.environ["OPSGATE_SEALING_KEY_FILE"]))
    db = await Database.connect(os.environ["OPSGATE_DATABASE_URL"], max_size=2, keys=keys)
    async with RotationRounds(db) as rounds:
        while True:
            await rounds.begin()
            await asyncio.sleep(0.05)


def main() -> None:
    """Until standard input ends."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.environ["OPSGATE_FAILPOINT_FILE"] = line.strip() or os.devnull
            asyncio.run(rotate())
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
