"""The payloads of the eight job types: what fits, and what is said of what does not."""

from datetime import UTC, datetime

import pytest

from agent.protocol import JobMessage, PollReply
from definitions.job_types import NAMES, PAYLOADS, fields_of, from_words, read_payload, take_secrets

GOOD = [
    ("script", {"language": "bash", "content": "true", "environment": {"PARAM_A": "x"}, "run_as": "deploy"}),
    ("command", {"command": "true", "requires_elevation": True, "timeout_seconds": 5}),
    ("service_control", {"action": "restart", "service": "getty@tty1.service"}),
    ("process_control", {"action": "kill", "pid": 4711}),
    ("process_control", {"action": "force_kill", "name": "nginx"}),
    ("network_diagnostic", {"action": "ping", "host": "web-1.example", "count": 2}),
    ("network_diagnostic", {"action": "traceroute", "host": "2001:db8::1"}),
    ("network_diagnostic", {"action": "dig", "host": "_dmarc.a.example", "record_type": "TXT"}),
    ("network_diagnostic", {"action": "netstat"}),
    ("network_diagnostic", {"action": "port_check", "host": "192.0.2.1", "port": 443}),
    ("software_install", {"action": "install", "packages": ["curl", "g++", "libc6:i386", "a=1.0~rc1-2"]}),
    ("software_install", {"action": "upgrade"}),
    ("user_control", {"action": "create", "user": "alice", "shell": "/bin/bash", "groups": ["www-data"]}),
    ("user_control", {"action": "reset_password", "user": "alice"}),
    ("group_control", {"action": "add_members", "group": "web", "members": ["alice"]}),
]


@pytest.mark.parametrize(("type_", "payload"), GOOD)
def test_what_fits_is_read_and_is_the_same_after_a_way_through_json(type_, payload):
    made, problems = read_payload(type_, payload)
    assert problems == []
    assert made is not None
    assert read_payload(type_, made.model_dump(mode="json")) == (made, [])


@pytest.mark.parametrize(("type_", "payload"), GOOD)
def test_secrets_that_a_job_does_not_have_are_not_written_for_an_agent_that_knows_no_such_field(
    type_, payload
):
    made, _ = read_payload(type_, payload)
    assert made is not None
    message = JobMessage(job_id=1, attempt=1, payload=made)
    assert "secrets" not in made.model_dump(mode="json")
    assert "secrets" not in PollReply(jobs=[message], server_time=datetime.now(UTC)).model_dump_json()


def test_there_is_a_payload_of_every_type_of_the_manual():
    assert tuple(PAYLOADS) == NAMES
    assert {type_ for type_, _ in GOOD} == set(NAMES)


WRONG = [
    ("teleport", {}, "/type", "unknown-job-type"),
    ("command", {"command": "a\0b"}, "/payload/command", "not-json"),
    ("command", {"command": "true", "timeout_seconds": 0}, "/payload/timeout_seconds", "out-of-range"),
    ("user_control", {"action": "enable", "user": 5}, "/payload/user", "wrong-type"),
    ("command", {"command": "true", "shel": "bash"}, "/payload/shel", "unknown-key"),
    ("command", {"command": "x", "environment": {"PATH": "x"}}, "/payload/environment/PATH", "bad-form"),
    ("command", {"command": "x", "run_as": "a", "requires_elevation": True}, "/payload/run_as", "bad-form"),
    (
        "script",
        {"language": "bash", "content": "", "secrets": ["PARAM_A_FILE"]},
        "/payload/secrets",
        "secrets-need-script",
    ),
    (
        "user_control",
        {"action": "reset_password", "user": "a", "secrets": ["PARAM_PASSWORD_FILE"]},
        "/payload/secrets",
        "secrets-beside",
    ),
    ("script", {"language": "cobol", "content": "x"}, "/payload/language", "unknown-word"),
    ("service_control", {"service": "cron"}, "/payload/action", "missing-field"),
    ("service_control", {"action": "start"}, "/payload/service", "missing-field"),
    ("process_control", {"action": "kill"}, "/payload/name", "bad-form"),
    ("process_control", {"action": "kill", "pid": 5, "name": "x"}, "/payload/name", "bad-form"),
    ("process_control", {"action": "kill", "pid": 1}, "/payload/pid", "out-of-range"),
    ("process_control", {"action": "kill", "pid": True}, "/payload/pid", "wrong-type"),
    ("network_diagnostic", {"action": "ping"}, "/payload/host", "bad-form"),
    ("network_diagnostic", {"action": "port_check", "host": "a"}, "/payload/port", "bad-form"),
    ("network_diagnostic", {"action": "netstat", "host": "a"}, "/payload/host", "bad-form"),
    ("network_diagnostic", {"action": "ping", "host": "a", "port": 5}, "/payload/port", "bad-form"),
    ("software_install", {"action": "install"}, "/payload/packages", "bad-form"),
    ("software_install", {"action": "install", "packages": "curl"}, "/payload/packages", "wrong-type"),
    ("software_install", {"action": "install", "packages": ["a", "b;c"]}, "/payload/packages/1", "bad-form"),
    ("user_control", {"action": "creat", "user": "a"}, "/payload/action", "unknown-word"),
    ("user_control", {"action": "enable", "user": "a", "shell": "/bin/sh"}, "/payload/shell", "bad-form"),
    ("user_control", {"action": "create", "user": "a", "shell": "sh"}, "/payload/shell", "bad-form"),
    ("user_control", {"action": "create", "user": "a", "password": "x"}, "/payload/password", "unknown-key"),
    ("group_control", {"action": "add_members", "group": "web"}, "/payload/members", "bad-form"),
]


@pytest.mark.parametrize(("type_", "payload", "pointer", "code"), WRONG)
def test_what_does_not_fit_is_named_by_its_field(type_, payload, pointer, code):
    made, problems = read_payload(type_, payload)
    assert made is None
    assert [(problem.pointer, problem.code) for problem in problems] == [(pointer, code)]
    assert problems[0].message
    assert problems[0].fix


def test_a_password_reset_names_the_password_that_is_given_beside_it():
    payload, _ = read_payload("user_control", {"action": "reset_password", "user": "alice"})
    assert payload is not None
    made, sealed, problems = take_secrets(payload, {"password": "s3cr:et one"})
    assert (made.secrets, dict(sealed), problems) == (
        ["PARAM_PASSWORD_FILE"],
        {"PARAM_PASSWORD_FILE": "s3cr:et one"},
        [],
    )
    assert take_secrets(payload, {}) == (payload, {}, [])


@pytest.mark.parametrize(
    ("action", "secrets", "pointer", "code"),
    [
        ("reset_password", {"password": ""}, "/secrets/password", "bad-password"),
        ("reset_password", {"password": "two\nroot:lines"}, "/secrets/password", "bad-password"),
        ("reset_password", {"password": "x" * 512}, "/secrets/password", "bad-password"),
        ("reset_password", {"password": ["x"]}, "/secrets/password", "bad-value"),
        ("reset_password", {"pass": "hunter2"}, "/secrets/pass", "unknown-parameter"),
        ("enable", {"password": "hunter2"}, "/secrets/password", "unknown-parameter"),
    ],
)
def test_what_can_be_no_password_and_what_takes_none_is_said_without_it(action, secrets, pointer, code):
    payload, _ = read_payload("user_control", {"action": action, "user": "alice"})
    assert payload is not None
    _, _, problems = take_secrets(payload, secrets)
    assert [(problem.pointer, problem.code) for problem in problems] == [(pointer, code)]
    assert "hunter2" not in str(problems)


def test_every_problem_is_found_at_once():
    _, problems = read_payload("network_diagnostic", {"action": "port_check", "host": "a b", "count": 3})
    assert [problem.pointer for problem in problems] == ["/payload/host", "/payload/port", "/payload/count"]


NAMES_OF_THINGS = [
    ("service_control", {"action": "stop"}, "service"),
    ("process_control", {"action": "kill"}, "name"),
    ("network_diagnostic", {"action": "ping"}, "host"),
    ("network_diagnostic", {"action": "dig", "host": "a"}, "server"),
    ("user_control", {"action": "delete"}, "user"),
    ("user_control", {"action": "create", "user": "a"}, "shell"),
    ("group_control", {"action": "delete"}, "group"),
    ("command", {"command": "true"}, "run_as"),
]
HOSTILE = [
    "-x", "--help", "a b", "a;b", "a|b", "a&b", "$(id)", "`id`", "${a}", "'a'", '"a"', "a\nb", "a\n", "\ta",
    "*", "a?", "a[b]", "../a", "a/../b", "a\\b", "a<b", "a>b", "a,b", "a=b", "~", "!", "#a", "a%b", "(a)",
    "{a}", "ž", "\u202ea", "a\u00a0b", "\U0001f40e", "", " ", "a" * 300,
]  # fmt: skip


@pytest.mark.parametrize(("type_", "rest", "field"), NAMES_OF_THINGS)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_can_be_neither_an_option_nor_shell_text(type_, rest, field, text):
    made, problems = read_payload(type_, {**rest, field: text})
    assert made is None
    assert [problem.pointer for problem in problems] == [f"/payload/{field}"]
    assert len(text.strip()) < 3 or text not in str(problems)


@pytest.mark.parametrize(
    "text", [*(each for each in HOSTILE if each != "a=b"), "a-", "a+", "-", "+a", "a=", "a=-"]
)
def test_a_package_can_be_neither_an_option_nor_a_wish_of_another_kind(text):
    made, problems = read_payload("software_install", {"action": "remove", "packages": [text]})
    assert made is None
    assert [problem.pointer for problem in problems] == ["/payload/packages/0"]


def test_a_problem_never_shows_what_was_written():
    _, problems = read_payload("user_control", {"action": "hunter2", "user": "hunter2!", "groups": "hunter2"})
    assert len(problems) == 3
    assert "hunter2" not in str(problems)


@pytest.mark.parametrize(
    ("type_", "words", "payload"),
    [
        ("network_diagnostic", {"action": "ping", "count": "2"}, {"action": "ping", "count": 2}),
        ("network_diagnostic", {"count": "two", "port": "²"}, {"count": "two", "port": "²"}),
        ("software_install", {"packages": "a,b"}, {"packages": ["a", "b"]}),
        ("user_control", {"no_home": "true", "system": "false"}, {"no_home": True, "system": False}),
        ("user_control", {"no_home": "yes", "user": "true"}, {"no_home": "yes", "user": "true"}),
        ("teleport", {"to": "5"}, {"to": "5"}),
    ],
)
def test_words_of_a_command_line_become_what_their_field_holds(type_, words, payload):
    assert from_words(type_, words) == payload


def test_what_a_type_takes_can_be_listed():
    fields = fields_of("network_diagnostic")
    assert fields["action"] == "ping, traceroute, nslookup, dig, netstat, port_check"
    assert (fields["port"], fields["host"]) == ("a whole number", "a text")
    assert "type" not in fields
