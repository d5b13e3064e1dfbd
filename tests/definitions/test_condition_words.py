"""What a condition says about itself: its values, short enough to read."""

from definitions.condition_words import why, with_values
from definitions.variables import HostFacts, StepFacts, scope

KNOWN = scope(
    inputs={"limit": 90, "name": "web\n1", "long": "x" * 500},
    instance={"id": 7},
    results={"scan": StepFacts(hosts=(HostFacts(host="h", stdout='{"disk": 25}', exit_code=0),))},
)


def test_values_stand_in_the_place_of_references():
    condition = "{{step_scan.json.disk}} <\n {{inputs.limit}}\t&& {{ variables.instance.id }} > 3"
    assert with_values(condition, KNOWN) == "25 < 90 && 7 > 3"


def test_a_text_stands_in_its_own_quotes_on_one_line():
    assert with_values('"{{inputs.name}}" == "a"', KNOWN) == r'"web\n1" == "a"'
    assert with_values("'{{inputs.name}}' == {{inputs.name}}", KNOWN) == r'"web\n1" == "web\n1"'


def test_long_values_are_cut():
    assert with_values("{{inputs.long}} == 'x'", KNOWN) == f"\"{'x' * 38}… == 'x'"


def test_a_step_that_never_ran_has_no_exit_code():
    assert with_values("{{step_other.exit_code}} == null", KNOWN) == "null == null"


def test_the_sentence_that_goes_with_an_answer():
    assert why("{{inputs.limit}} > 3", KNOWN) == "With its values: 90 > 3."
