"""What a job printed, made fit to be kept."""

from definitions.storable import storable_value


def test_what_no_database_keeps_is_replaced_wherever_it_stands_and_nothing_else() -> None:
    value = {"a\0": ["x\0y", {"b": "\ud800"}], "n": [1, 2.5, True, None]}
    assert storable_value(value) == {"a\ufffd": ["x\ufffdy", {"b": "?"}], "n": [1, 2.5, True, None]}
