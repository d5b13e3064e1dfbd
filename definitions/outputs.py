"""What an instance that has completed gives back: the workflow's `outputs`, resolved. Pure."""

from definitions.errors import Invalid
from definitions.parameters import Value
from definitions.variables import Scope, beginnings, resolve
from definitions.workflow import Workflow


def outputs_of(workflow: Workflow, scope: Scope) -> tuple[dict[str, Value], dict[str, str]]:
    """Each output by its name, and a sentence for each that is null, as it has no value, or not the whole.

    The proof has shown that what they name has run; that its output is JSON with that key it can't know.
    """
    values: dict[str, Value] = {}
    amiss: dict[str, str] = {}
    for name, template in workflow.outputs.items():
        try:
            values[name] = resolve(template, scope)
        except Invalid as error:
            values[name] = None
            amiss[name] = error.message
        else:
            if short := beginnings([template], scope):
                amiss[name] = " ".join(short)
    return values, amiss
