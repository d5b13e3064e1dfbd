"""Text from outside is made fit to look at."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.harmless import HIDDEN, TerminalText, markdown, terminal_text, visible


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
        ("a\b\b\bcd", "cd"),
        ("tab\tstays", "tab\tstays"),
        ("bell\x07", "bell⟨U+0007⟩"),
        ("cut off \x1b[3", "cut off "),
        ("never ended \x1b]0;title\nnext line", "never ended \nnext line"),
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


def piecewise(pieces):
    rendering = TerminalText()
    return [*(rendering.feed(piece) for piece in pieces), rendering.finish()]


@given(st.text(alphabet="ab\n\x1b[]0;m\x07\\P\x9b\0"))
def test_text_that_comes_piece_by_piece_is_shown_as_if_it_came_at_once(raw):
    assert "".join(piecewise(raw)) == terminal_text(raw)


def test_what_comes_is_shown_at_once_unless_a_code_has_only_begun():
    assert piecewise(["work", "ing\x1b[", "1m on", "\r", "\n", "done"]) == [
        "work",
        "ing",
        " on",
        "",
        "\n",
        "done",
        "",
    ]


def test_a_line_that_is_overwritten_later_goes_on_in_a_new_line():
    assert "".join(piecewise(["10%", "\r20%", "\r", "30%\nnext\r"])) == "10%\n20%\n30%\nnext"


def test_a_code_that_does_not_end_is_not_waited_for_for_ever():
    shown = "".join(piecewise(["\x1b]0;", *["x" * 1000] * 10]))
    assert "x" * 1000 in shown


@given(st.lists(st.text()))
def test_nothing_hidden_is_left_in_what_is_shown_piece_by_piece(pieces):
    shown = "".join(piecewise(pieces))
    assert not [each for each in shown if each not in "\n\t" and unicodedata.category(each) in HIDDEN]


@pytest.mark.parametrize(
    "address", ["https://evil.test", "HTTP://evil.test", "www.evil.test", "WWW.evil.test"]
)
def test_markdown_makes_no_link_of_an_address(address):
    shown = markdown(f"see {address}/x, or ann@evil.test")
    assert shown.replace("\u2060", "") == f"see {address}/x, or ann@evil.test"
    assert not re.search(r"://|www\.|@\w", shown, re.IGNORECASE)


def test_markdown_shows_text_as_it_is_and_in_one_line():
    assert markdown("a *b*\n<c> & d\u200b") == r"a \*b\* \<c\> \& d⟨U\+200B⟩"
