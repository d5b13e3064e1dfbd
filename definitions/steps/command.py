"""The step that runs one command, one job a host."""

from typing import Literal

from definitions.steps.step import JobFields, Text


class CommandStep(JobFields):
    """Run a command line; values reach it through the environment, never spliced."""

    type: Literal["command"] = "command"
    command: Text
    shell: Literal["bash", "powershell"] | None = None
    """None: by the host's operating system."""
