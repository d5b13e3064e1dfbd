"""`opsgate agent`: the agent's own program under the same name, for a machine that has both.

Hands its arguments on unchanged; `opsgate-agent` on a host that has only the agent is the same.
"""

import runpy
import sys
from typing import Annotated

from cyclopts import App, Parameter

app = App(name="agent", help_format="plaintext", help_flags=[], version_flags=[])

Rest = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]


@app.default
def agent(*arguments: Rest) -> None:
    """Run the host agent: `agent enrol --server URL --secret-file FILE`, `agent run`."""
    sys.argv = ["opsgate-agent", *arguments]
    runpy.run_module("agent", run_name="__main__", alter_sys=True)
