"""Text from outside is made fit to look at."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals_ui.harmless import HIDDEN, terminal_text, visible


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;https://evil.test\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x9b1mbold", "bold"),
        ("10%\r50%\r100%\nnext", "100%\nnext"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("ab\b\bcd", "cd"),
        ("tab\tstays", "tab\tstays"),
        ("bell\x07", "bell⟨U+0007⟩"),
        ("cut off \x1b[3", "cut off "),
    ],
)
def test_output_is_shown_as_a_terminal_would_leave_it(raw, shown):
    assert terminal_text(raw) == shown


def test_text_that_would_show_in_another_order_is_spelt_out():
    assert visible("rm \u202e/tmp") == "rm ⟨U+202E⟩/tmp"


def test_text_that_would_not_show_at_all_is_spelt_out():
    assert visible("ro\u200bot") == "ro⟨U+200B⟩ot"


@given(st.text())
def test_nothing_hidden_is_left_in_anything_shown(raw):
    for shown in (visible(raw), terminal_text(raw)):
        assert not [each for each in shown if each not in "\n\t" and unicodedata.category(each) in HIDDEN]


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"], exclude_characters="\u2028")))
def test_plain_text_is_shown_as_it_is(raw):
    assert terminal_text(raw) == visible(raw) == raw
