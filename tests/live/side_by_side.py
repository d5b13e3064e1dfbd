"""Which test files go to one worker of pytest-xdist: those that share what is dear to start.

A stack costs twenty seconds of a core to start and a tenth of a core while it idles. Two of them, with
their files one after the other, leave the other workers to everything else. Any other file is on its own.
"""

from pathlib import PurePosixPath

from xdist.scheduler import LoadFileScheduling

_ACCEPTANCE = PurePosixPath("tests/acceptance")
_WITHOUT_STACK = ("test_jobs_", "test_recurring_ticks")
_OF_THE_FLEET = (
    "test_crashes",
    "test_prefect_dashboards",
    "test_random_kills",
    "test_recurring_jobs",
    "test_resume",
    "test_trouble",
    "test_waves",
)
"""Those that want three hosts, and as many others as make both stacks take about as long."""


def group(file: str) -> str:
    """The name of what a test file, by its path below the root, shares with others; else its own path."""
    path = PurePosixPath(file)
    if path.parent != _ACCEPTANCE or path.stem.startswith(_WITHOUT_STACK):
        return file
    return "a stack with a fleet" if path.stem in _OF_THE_FLEET else "a stack"


class GroupScheduling(LoadFileScheduling):
    """`--dist loadfile`, with the files of a group as if they were one."""

    def _split_scope(self, nodeid: str) -> str:
        return group(super()._split_scope(nodeid))
