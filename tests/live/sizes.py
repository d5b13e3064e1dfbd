"""How much of a fault or a load a test makes: a little in the suite, the whole under `./run chaos`."""

import os

CHAOS = os.environ.get("OPSGATE_CHAOS") == "1"

LIMIT_SECONDS = 3600 if CHAOS else 120
"""For `pytest.mark.timeout`: only so that nothing hangs for ever."""


def size(suite: int, chaos: int) -> int:
    """The number for this run."""
    return chaos if CHAOS else suite
