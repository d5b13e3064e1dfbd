"""Definitions as text: whatever they hold, what is written is what was meant."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.definition_files import parse_text
from deployments.definition_text import Format, unified, write

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
lines = st.lists(texts, max_size=4).map("\n".join)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
)
documents = st.recursive(
    scalars | texts | lines,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("format", ["yaml", "json"])
@given(value=documents)
def test_what_is_written_reads_as_what_was_meant(format: Format, value: object):
    document = {"kind": "workflow", "description": value}
    found = parse_text(write(document, format), as_json=format == "json")
    assert json.dumps(found, sort_keys=True) == json.dumps(document, sort_keys=True)


@given(value=documents)
def test_it_is_written_the_same_however_its_keys_come(value: object):
    assert write({"kind": "x", "name": value, "a": 1}) == write({"a": 1, "name": value, "kind": "x"})


def test_people_read_the_name_first_and_the_steps_last():
    step = {"on_success": "end", "command": "a\nb\n", "type": "command", "id": "s"}
    document = {"steps": [step], "outputs": {}, "name": "n", "kind": "workflow"}
    assert write(document) == (
        "kind: workflow\nname: n\noutputs: {}\nsteps:\n"
        "- id: s\n  type: command\n  command: |\n    a\n    b\n  on_success: end\n"
    )


def test_a_difference_in_nothing_but_line_ends_is_seen():
    assert list(unified("a\r\n", "a\n", "x", "y"))[3:] == ["-a\N{SYMBOL FOR CARRIAGE RETURN}", "+a"]
    assert list(unified("a", "a\n", "x", "y"))[3:] == ["-a", "\\ No newline at end of file", "+a"]
    assert list(unified("a\x0cb\n", "a\nb\n", "x", "y"))[3:] == ["-a\x0cb", "+a", "+b"]
