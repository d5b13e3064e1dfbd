"""`python -m agent.once FOLDER`: runs one job for a program on the same host, and ends. See `agent.one_job`.

Nothing of the job stands in argv or in the environment: it comes on standard input.
"""

import asyncio
import sys
from pathlib import Path

from agent import launcher


def main() -> int:
    """Run the job; 0 whatever became of it, once its report is written."""
    launching = launcher.start()
    # Only now: what follows may start threads.
    from agent import one_job

    asyncio.run(one_job.serve(Path(sys.argv[1]), launching))
    return 0


if __name__ == "__main__":
    sys.exit(main())
