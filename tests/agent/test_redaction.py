"""Whatever a job does to print a secret by mishap, and however the reads cut it, the secret is gone."""

import base64
import json
import shlex
import urllib.parse
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.redaction import MASK, Redactor, forms

SECRET = "p\"w/ä d&+\\'é<x>%~"
LETTERS = st.text('ab/+"\\ é\n', min_size=4, max_size=12)


def whole(data: bytes, patterns: set[bytes]) -> tuple[bytes, int]:
    redactor = Redactor(patterns)
    return redactor.feed(data) + redactor.finish(), redactor.hits


def by_hand(data: bytes, patterns: set[bytes]) -> bytes:
    """What is left, found the slow way: every byte of every occurrence marked, each run of marks one mask."""
    marked = [False] * len(data)
    for pattern in patterns:
        for at in range(len(data) - len(pattern) + 1):
            if data.startswith(pattern, at):
                marked[at : at + len(pattern)] = [True] * len(pattern)
    out = b""
    for at, byte in enumerate(data):
        if not marked[at]:
            out += bytes([byte])
        elif at == 0 or not marked[at - 1]:
            out += MASK
    return out


@given(
    secrets=st.lists(LETTERS, min_size=1, max_size=3),
    pieces=st.lists(st.one_of(st.binary(max_size=3), st.integers(0, 40)), max_size=12),
    cuts=st.lists(st.integers(0, 200), max_size=20),
)
@example(secrets=["aaaa"], pieces=[0, b"a", 0, b"aaa"], cuts=[1, 5, 6])
@example(secrets=["\\\\\\\\"], pieces=[0], cuts=[12])
@example(secrets=["abab", "abxx"], pieces=[b"abab"], cuts=[])
@example(secrets=["aabaa"], pieces=[b"aabaabaab"], cuts=[])
@example(secrets=["abab/", "b/aa"], pieces=[b"abab", b"/aa"], cuts=[3, 4, 5])
def test_any_split_gives_what_the_whole_gives_and_no_form_of_a_secret_is_left(secrets, pieces, cuts):
    patterns = {form for secret in secrets for form in forms(secret)}
    ordered = sorted(patterns)
    data = b"".join(piece if isinstance(piece, bytes) else ordered[piece % len(ordered)] for piece in pieces)
    expected, hits = whole(data, patterns)
    assert expected == by_hand(data, patterns)
    redactor = Redactor(patterns)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    out = b"".join(redactor.feed(data[a:b]) for a, b in pairwise(places))
    assert (out + redactor.finish(), redactor.hits) == (expected, hits)
    for pattern in patterns:
        assert pattern not in expected
    assert expected.count(MASK) >= hits
    assert (hits > 0) == any(pattern in data for pattern in patterns)


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=9))
def test_output_without_a_secret_stays_as_it_is(data, cuts):
    patterns = forms("Zq9#Zq9#")
    redactor = Redactor(patterns)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    out = b"".join(redactor.feed(data[a:b]) for a, b in pairwise(places))
    assert out + redactor.finish() == data


@given(st.binary(max_size=60))
def test_no_more_is_held_back_than_may_be_the_beginning_of_a_secret(data):
    patterns = forms("abab")
    redactor = Redactor(patterns)
    redactor.feed(data)
    ends = [data[-size:] for size in range(1, len(data) + 1)]
    beginnings = [end for end in ends if any(end != form and form.startswith(end) for form in patterns)]
    assert len(redactor._held) == max(map(len, beginnings), default=0)


@pytest.mark.parametrize(
    "printed",
    [
        SECRET.encode(),
        base64.b64encode(SECRET.encode()),
        base64.urlsafe_b64encode(SECRET.encode()),
        base64.b64encode(SECRET.encode()).rstrip(b"="),
        urllib.parse.quote(SECRET).encode(),
        urllib.parse.quote(SECRET, safe="").encode(),
        urllib.parse.quote_plus(SECRET).encode(),
        urllib.parse.quote(SECRET, safe="!~*'()").encode(),
        json.dumps(SECRET).encode(),
        json.dumps(SECRET, ensure_ascii=False).encode(),
        json.dumps({"a": [SECRET]}).replace("/", "\\/").encode(),
        shlex.quote(SECRET).replace("'\"'\"'", "'\\''").encode(),
        SECRET.encode().hex().encode(),
        SECRET.encode().hex().upper().encode(),
        SECRET.encode("utf-16-le"),
        SECRET.encode("utf-16-be"),
        base64.b64encode(SECRET.encode("utf-16-le")),
    ],
)
def test_the_usual_ways_to_print_a_value_are_known(printed):
    out, hits = whole(b"before " + printed + b" after", forms(SECRET))
    assert hits == 1
    assert out.startswith(b"before ")
    assert out.endswith(b" after")
    assert len(out) <= len(b"before {'a': ['***']} after")


def test_at_whatever_offset_a_chunk_ends_every_form_is_masked_and_a_credential_noted():
    for form in forms(SECRET):
        data = b"before " + form + b" after"
        expected = whole(data, forms(SECRET))
        for at in range(len(data) + 1):
            redactor = Redactor((), forms(SECRET))
            out = redactor.feed(data[:at]) + redactor.feed(data[at:]) + redactor.finish()
            assert (out, redactor.hits) == expected
            assert form not in out
            assert redactor.seen


def test_only_what_is_watched_for_is_noted():
    redactor = Redactor(forms("another one"), forms(SECRET))
    assert redactor.feed(b"<another one>") + redactor.finish() == b"<***>"
    assert (redactor.hits, redactor.seen) == (1, False)


def test_lower_case_escapes_of_a_url_are_known():
    assert whole(b"x=a%2fb%3dC%26", forms("a/b=C&"))[0] == b"x=***"


@pytest.mark.parametrize("before", ["", "u:", "u", "xyz"])
def test_base64_of_something_that_holds_the_value_shows_at_most_its_edges(before):
    encoded = base64.b64encode(f"{before}{'correct horse'}\n".encode())
    out, hits = whole(encoded, forms("correct horse"))
    assert hits == 1
    left = out.replace(MASK, b"")
    assert len(left) <= len(base64.b64encode(before.encode())) + 4


def test_a_key_of_several_lines_is_found_line_by_line_and_in_wrapped_base64():
    lines = [f"{n:02}" + "kEy/+" * 12 for n in range(5)]
    key = "\n".join(["-----BEGIN KEY-----", *lines, "-----END KEY-----", ""])
    indented = "".join(f"   {line}\n" for line in key.splitlines())
    assert b"kEy" not in whole(indented.encode(), forms(key))[0]
    wrapped = base64.encodebytes(key.encode())
    longest = max(whole(wrapped, forms(key))[0].split(b"\n"), key=len)
    assert len(longest) <= len(b"***")


def test_the_newline_at_the_end_of_a_file_is_not_needed_to_find_its_value():
    assert whole(b"<hunter2>", forms("hunter2\n"))[0] == b"<***>"


def test_values_that_are_too_short_to_look_for_are_left():
    assert forms("abc") == set()
    assert forms("") == set()


def test_neighbours_become_one_mask_and_one_hit():
    assert whole(b"-abcdabcd-abcdef-", {b"abcd", b"cdef"}) == (b"-***-***-", 2)
