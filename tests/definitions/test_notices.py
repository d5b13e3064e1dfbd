"""Notices: which addresses are taken, what a text says, when a failed one is tried again."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from definitions.errors import Invalid
from definitions.notice_urls import shown
from definitions.notices import EVENTS, MOST_TRIES, Event, Facts, chosen, pause, remind_at, text

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FACTS = Facts("deploy-web", 12, "olga", 3, "Deploy release 7?", "approved", NOON, "/approvals/5")


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("mailtos://ann:s3cret@mail.example.org?to=ann@example.org", "mail by TLS (mailtos://mail.example.org/***)"),
        ("mailto://127.0.0.1:2525?from=a@b.org", "mail (mailto://127.0.0.1:2525/***)"),
        ("JSONS://hooks.example.org/s3cret?+Authorization=s3cret", "webhook by TLS (jsons://hooks.example.org/***)"),
        ("json://[2001:db8::1]:8080/x", "webhook (json://[2001:db8::1]:8080/***)"),
        ("slack://s3cret/s3cret/s3cret", "Slack (slack://***)"),
        ("matrix://s3cret", "Matrix (matrix://***)"),
        ("json://ann:s3/cret@example.org/x", "webhook (json://example.org/***)"),
        ("json://ann:s3/cret", "webhook (json://***/***)"),
        ("json://s3cret:s3cret", "webhook (json://***/***)"),
    ],
)  # fmt: skip
def test_of_an_address_the_service_is_shown_and_the_host_where_it_is_no_secret(url: str, seen: str) -> None:
    assert shown(url) == seen
    assert "s3" not in seen


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "json://", "json:///x", "https://example.org", "file:///etc/passwd", "syslog://", "dbus://x",
        "exec://x", "json://h/a b", "json://h/\n", "json://h/é", "json://h/#x", "json://h/" + "x" * 2000,
        "json://h/?method=DELETE", "json://h/?redirect=yes", "json://h/?retry=9", "json://h/?verify=no",
        "workflows://h/w/s?template=/etc/passwd", "slack://a/b/c?%54emplate=/etc/passwd",
        "mailto://h?to=a@b.org;pgpkey=/etc/passwd", "ntfy://topic?attach=/etc/passwd", "slack://a/b/c?+x=y",
        "json://h/?x?template=1",
    ],
)  # fmt: skip
def test_what_could_run_read_or_hide_something_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        shown(url)
    (problem,) = refused.value.problems
    assert problem.pointer == "/url"
    said = f"{refused.value} {problem.message} {problem.fix}"
    assert "passwd" not in said
    assert "DELETE" not in said


def test_a_quarantine_says_of_whom_why_and_how_it_ends() -> None:
    facts = Facts("", None, "", 0, title="db_admin", path="/x", reason="The vault main is sealed.")
    title, body = text("identity.quarantined", facts, "https://ops.example.org")
    assert title == "Quarantined: db_admin"
    assert "replaced: The vault main is sealed." in body
    assert "until `opsgate identity rotate db_admin` has worked" in body
    assert "See it: https://ops.example.org/x" in body


def test_of_a_printed_credential_it_says_whose_by_which_job_and_what_is_to_be_done() -> None:
    facts = Facts("", None, "", 0, title="deploy_key", path="/x", reason="A key is not rotated.", job_id=7)
    title, body = text("identity.leaked", facts, "https://ops.example.org")
    assert title == "To be replaced by hand: deploy_key"
    assert "The credential of deploy_key stood in the output of job 7" in body
    assert "Opsgate does not replace it: A key is not rotated." in body
    assert "See it: https://ops.example.org/x" in body


@pytest.mark.parametrize("event", [event for event in EVENTS if not event.startswith("identity.")])
def test_a_text_says_what_for_whom_and_where_to_look(event: Event) -> None:
    title, body = text(event, FACTS, "https://ops.example.org/")
    assert title.endswith(": Deploy release 7?")
    assert "deploy-web #12, started by olga, for 3 hosts" in body
    assert "See it: https://ops.example.org/approvals/5" in body
    assert ("2026-11-23 12:00 UTC" in body) == (event in ("approval.asked", "approval.reminder"))


def test_how_it_was_decided_is_in_the_title() -> None:
    assert text("approval.decided", FACTS, "")[0] == "Approved: Deploy release 7?"


def test_without_an_address_of_the_pages_there_is_no_link() -> None:
    assert "See it" not in text("approval.asked", FACTS, "")[1]
    assert "nothing is to be done" in text("test", FACTS, "")[1].lower()


def test_a_notice_without_gate_or_instance_says_what_it_can() -> None:
    title, body = text("instance.failed", Facts("deploy-web", 12, "olga", 1), "https://x")
    assert (title, "1 host." in body) == ("Failed: deploy-web #12", True)
    assert "Workflow nightly, " in text("approval.asked", Facts("nightly", None, "olga", 1), "")[1]
    title, body = text("approval.asked", Facts("", None, "olga", 1, "Run tidy as db_admin"), "")
    assert (title, body) == ("Approval needed: Run tidy as db_admin", "Asked for by olga, for 1 host.")


def test_a_title_is_one_line_of_bounded_length_in_which_nothing_hides() -> None:
    facts = Facts("w", 1, "o", 1, "Go?\r\nBcc: eve@example.org \u202e" + "x" * 500)
    title, _ = text("approval.asked", facts, "")
    assert "\n" not in title
    assert "\u202e" not in title
    assert len(title) < 200


def test_of_a_gates_title_nothing_becomes_a_link_in_a_chat_or_calls_everybody() -> None:
    facts = replace(
        FACTS, title="[See it](https://evil.test) www.evil.test @everyone", workflow="a](http://b"
    )
    for part in text("approval.asked", facts, "https://ops.example.org"):
        ours = part.replace("https://ops.example.org/approvals/5", "")
        assert not re.search(r"://|www\.|@\w|\]\(", ours)
    assert "evil.test" in text("approval.asked", facts, "")[0], "the control: it is still told"


def test_people_are_reminded_when_a_quarter_is_left_and_an_hour_before_at_the_earliest() -> None:
    assert remind_at(NOON, NOON + timedelta(minutes=20)) == NOON + timedelta(minutes=15)
    assert remind_at(NOON, NOON + timedelta(days=2)) == NOON + timedelta(days=2, hours=-1)


def test_pauses_grow_and_end() -> None:
    pauses = [pause(tries) for tries in range(1, MOST_TRIES + 1)]
    assert pauses[0] == timedelta(seconds=5)
    assert pauses[-1] is None
    seconds = [each.total_seconds() for each in pauses if each is not None]
    assert seconds == sorted(seconds)
    assert max(seconds) == 600


def test_events_are_chosen_by_name() -> None:
    assert chosen(["instance.failed", "nonsense", "approval.asked"]) == ["approval.asked", "instance.failed"]
