"""What a completed instance gives back."""

from definitions.outputs import outputs_of
from definitions.variables import HostFacts, StepFacts, scope
from definitions.workflow import parse


def test_outputs_keep_their_types_and_one_without_a_value_is_named() -> None:
    outputs = {"n": "{{step_a.json.n}}", "text": "n is {{step_a.json.n}}", "gone": "{{step_a.json.ip}}"}
    step = {"id": "a", "type": "command", "command": "true"}
    workflow, _ = parse({"name": "w", "steps": [step], "outputs": outputs})
    assert workflow is not None
    facts = StepFacts(hosts=(HostFacts(host="web-1", stdout='{"n": 3}', exit_code=0),))
    values, missing = outputs_of(workflow, scope(inputs={}, instance={}, results={"a": facts}))
    assert values == {"n": 3, "text": "n is 3", "gone": None}
    assert [*missing] == ["gone"]
    assert missing["gone"].startswith("{{step_a.json.ip}} has no value")


def test_an_output_that_is_not_the_whole_is_given_and_named() -> None:
    step = {"id": "a", "type": "command", "command": "true"}
    workflow, _ = parse({"name": "w", "steps": [step], "outputs": {"text": "{{step_a.stdout}}"}})
    assert workflow is not None
    facts = StepFacts(hosts=(HostFacts(host="web-1", stdout="be", exit_code=0, truncated={"stdout": 2048}),))
    values, amiss = outputs_of(workflow, scope(inputs={}, instance={}, results={"a": facts}))
    assert values == {"text": "be"}
    assert "web-1 printed more than 2 KiB" in amiss["text"]
