"""The step that runs a saved script, one job a host."""

from typing import Literal

from pydantic import Field

from definitions.steps.step import JobFields, Ref, Values


class ScriptStep(JobFields):
    """Run a script with parameters; their values may be templates."""

    type: Literal["script"] = "script"
    script: Ref
    """Its id or its name (`script_id` in a file is the same field)."""
    parameters: Values = Field(default_factory=dict)
