"""What a refusal carries besides its sentence."""

from definitions.errors import Conflict, StaleEdit


def test_a_stale_edit_is_a_conflict_that_shows_the_difference() -> None:
    refused = StaleEdit("Somebody was faster.", {"settings": "", "content": "-a\n+b"})
    assert isinstance(refused, Conflict)
    assert (str(refused), refused.diff) == ("Somebody was faster.", {"settings": "", "content": "-a\n+b"})
