"""A short interpreter of workflows, to hold the engine's rules against; knows nothing of `definitions`.

It has no frontier: a list of steps is run to its end, branches one after the other, each with its own
clock, and what came too late is cut off afterwards.
"""

import json
import operator
import re
from dataclasses import dataclass, replace
from typing import Any

Steps = list[dict[str, Any]]
Results = dict[str, list[dict[str, Any]]]
"""What the jobs of a step left, host by host."""


class NoValue(Exception):
    """Something can't be resolved or compared."""


@dataclass(frozen=True)
class Event:
    """One step that was run."""

    step: str
    began: float
    ended: float
    status: str
    values: Any = None
    by: str | None = None
    """The step that has checked out what its jobs run by."""
    until: float | None = None
    """When the time of that is over."""


@dataclass
class Ran:
    """A list of steps that was run: what happened, when it ended and how, and what it left."""

    events: list[Event]
    at: float
    ending: str
    left: Results


def interpret(document: dict[str, Any], scenario: dict[str, Any]) -> tuple[str, list[Event]]:
    """How the instance ends, and every step that began."""
    ran = _list(document["steps"], 0.0, {}, scenario)
    status = {"end": "completed", "fail": "failed", "cancelled": "cancelled"}[ran.ending]
    return status, _cut(ran.events, ran.at)


def at_once(events: list[Event]) -> bool:
    """Whether two steps side by side end at one moment, with what both run by: either may be seen first."""
    taken = [event.by for event in events if event.until and abs(event.ended - event.until) < 1e-6]
    return len(taken) > len(set(taken))


def _cut(events: list[Event], at: float) -> list[Event]:
    stopped = [replace(e, ended=at, status="cancelled") if e.ended > at else e for e in events]
    return [event for event in stopped if event.began <= at]


def _list(steps: Steps, at: float, known: Results, scenario: dict[str, Any]) -> Ran:
    ran = Ran([], at, "", dict(known))
    index = 0
    while True:
        step = steps[index]
        began = ran.at
        if step["type"] == "parallel":
            word, values, by, until = _parallel(step, ran, scenario), None, None, None
            if word == "cancelled":
                ran.events.append(Event(step["id"], began, float("inf"), "cancelled"))
                ran.ending = word
                return ran
        else:
            session = _runs_by(step, ran.left, began)
            until = _over(session) if session else None
            limit = min(limit_of(step), NEVER_OVER if until is None else until - began)
            word, values = _one(step, ran.left, scenario, bool(session))
            by = session["pam"]["id"] if session and values is not None else None
            seconds = scenario["steps"][step["id"]]["seconds"]
            if word != "no_value" and seconds > limit:
                word, seconds = "on_failure", limit
                if step["type"] == "command":
                    ran.left[step["id"]] = [NEVER for _ in scenario["hosts"]]
            word = "on_failure" if word == "no_value" else word
            ran.at += seconds
            if word == "on_success" and step["type"].startswith("pam_"):
                told = scenario["steps"][step["id"]]
                at = began if step["type"] == "pam_checkin" else ran.at  # it never waits
                ran.left[step["id"]] = [{"pam": step, "at": at, "username": told.get("username")}]
        status = "failed" if word == "on_failure" else "completed"
        ran.events.append(Event(step["id"], began, ran.at, status, values, by, until))
        target = step.get(word, "fail" if word in ("on_failure", "on_false") else "continue")
        if target == "continue":
            target = steps[index + 1]["id"] if index + 1 < len(steps) else "end"
        if target in ("end", "fail", "cancelled"):
            ran.ending = target
            return ran
        index = next(number for number, other in enumerate(steps) if other["id"] == target)


def _parallel(step: dict[str, Any], ran: Ran, scenario: dict[str, Any]) -> str:
    """Which way the step is left; moves the clock and adds what its branches did."""
    began = ran.at
    branches = [_list(branch["steps"], began, ran.left, scenario) for branch in step["branches"]]
    ends = [branch.at for branch in branches if branch.ending == "end"]
    stops = [branch.at for branch in branches if branch.ending == "cancelled"]
    first_counts = step.get("join") == "any" and bool(ends)
    ran.at = min(ends) if first_counts else max(branch.at for branch in branches)
    stopped = bool(stops) and (not first_counts or min(stops) < ran.at)
    if stopped:
        ran.at = min(stops)
    late = ran.at > began + limit_of(step)
    if late:
        ran.at, stopped = began + limit_of(step), False
    for branch in branches:
        events = _cut(branch.events, ran.at)
        ran.events += events
        done = {event.step for event in events if event.status != "cancelled"} | _checked_in(events, branch)
        ran.left |= {name: hosts for name, hosts in branch.left.items() if name in done}
    if stopped:
        return "cancelled"
    return "on_success" if not late and (first_counts or len(ends) == len(branches)) else "on_failure"


def _checked_in(events: list[Event], branch: Ran) -> set[str]:
    """What was checked in, even where the step was given up then."""
    left = [(event.step, branch.left.get(event.step)) for event in events]
    return {step for step, hosts in left if hosts and hosts[0].get("pam", {}).get("type") == "pam_checkin"}


NEVER = {"stdout": "", "exit_code": None}
"""What a host leaves whose job has not begun, or was stopped."""
NEVER_OVER = 1e9


def limit_of(step: dict[str, Any]) -> float:
    """Within how many seconds it has to be over."""
    return 60 * float(step.get("timeout_minutes", NEVER_OVER))


def begun(step: dict[str, Any], hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hosts begin in waves of `max_parallel`, and none does once `max_failures` have failed."""
    size = step.get("max_parallel", len(hosts))
    left: list[dict[str, Any]] = []
    while len(left) < len(hosts):
        if sum(host["exit_code"] != 0 for host in left) >= step.get("max_failures", 1e9):
            return [*left, *[NEVER] * (len(hosts) - len(left))]
        left += hosts[len(left) : len(left) + size]
    return left


def _sessions(name: str, left: Results) -> list[dict[str, Any]]:
    """What was checked out under a name, the earliest first."""
    found = [hosts[0] for hosts in left.values() if hosts and "pam" in hosts[0]]
    opened = [one for one in found if name in (one["pam"].get("identity"), one["pam"].get("variable_name"))]
    return sorted(opened, key=lambda one: float(one["at"]))


def _is_open(session: dict[str, Any], left: Results, now: float) -> bool:
    """Whether nothing has checked it in since, and its time is not over."""
    found = [hosts[0] for hosts in left.values() if hosts and "pam" in hosts[0]]
    later = [one["pam"] for one in found if one["at"] >= session["at"]]
    closing = [step["checkout"] for step in later if step["type"] == "pam_checkin"]
    closed = any(not named or session["pam"]["id"] in named for named in closing)
    return not closed and now < _over(session)


def _over(session: dict[str, Any]) -> float:
    """When its time is over."""
    return float(session["at"] + 60 * session["pam"].get("duration_minutes", NEVER_OVER))


def _runs_by(step: dict[str, Any], left: Results, now: float) -> dict[str, Any] | None:
    """What its jobs run by, and end with: of the identity that the name was given to last, the newest that is
    open."""
    sessions = _sessions(step.get("run_as", "").strip("{}"), left)
    of_it = [one for one in sessions if one["pam"]["identity"] == sessions[-1]["pam"]["identity"]]
    return next((one for one in reversed(of_it) if _is_open(one, left, now)), None)


def _one(step: dict[str, Any], left: Results, scenario: dict[str, Any], known: bool) -> tuple[str, Any]:
    """Which way a step is left, and the values it was given. `known`: whom it runs as is checked out."""
    told = scenario["steps"][step["id"]]
    step = {**step, **step.get("config", {})}
    values: Any = None
    try:
        if step["type"] == "condition":
            return ("on_true" if _holds(step["condition"], left, scenario) else "on_false"), None
        if step["type"] == "command":
            values = [_text(_value(path, left, scenario)) for path in dict.fromkeys(_paths(step["command"]))]
            if "run_as" in step and not known:
                raise NoValue
            hosts = [{**told, **told.get("hosts", {}).get(host, {})} for host in scenario["hosts"]]
            left[step["id"]] = begun(step, hosts)
            good = all(host["exit_code"] == 0 for host in left[step["id"]])
            return ("on_success" if good else "on_failure"), values
        if step["type"] == "approval":
            values = REFERENCE.sub(lambda found: _text(_value(found[1], left, scenario)), step["title"])
        if step["type"] == "pam_checkout":
            REFERENCE.sub(lambda found: _text(_value(found[1], left, scenario)), step["reason"])
        return ("on_success" if told["outcome"] == "success" else "on_failure"), values
    except NoValue:
        return "no_value", values


REFERENCE = re.compile(r"\{\{(?:variables\.)?([^}]*)\}\}")


def _paths(text: str) -> list[str]:
    return REFERENCE.findall(text)


def _value(path: str, left: Results, scenario: dict[str, Any]) -> Any:
    root, _, rest = path.partition(".")
    if root == "inputs":
        return scenario["inputs"][rest]
    if root.startswith("id_"):
        sessions = _sessions(root, left)
        if not sessions:
            raise NoValue
        return sessions[-1]["username"] if rest == "username" else "***CREDENTIAL_BLOCKED***"
    hosts = left.get(root.removeprefix("step_"), [])
    codes = [host["exit_code"] for host in hosts]
    code = next((code for code in codes if code), 0 if codes and None not in codes else None)
    if rest.startswith("hosts."):
        _, name, rest = rest.split(".", 2)
        hosts = [host for number, host in enumerate(hosts) if scenario["hosts"][number] == name]
        code = hosts[0]["exit_code"] if hosts else None
    stdout = hosts[0]["stdout"] if hosts else ""
    if rest == "exit_code":
        return code
    if rest == "stdout":
        return stdout.rstrip("\r\n")
    key = rest.removeprefix("json.")
    try:
        return json.loads(stdout)[key]
    except (ValueError, KeyError, TypeError):
        raise NoValue from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


COMPARISON = re.compile(r"\{\{(?:variables\.)?([^}]*)\}\} (==|!=|<) (\S+)")
OPERATORS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt}


def _holds(condition: str, left: Results, scenario: dict[str, Any]) -> bool:
    """Comparisons with one kind of `&&` or `||` between them; one without an answer may not matter."""
    answers: list[bool | None] = []
    for path, sign, literal in COMPARISON.findall(condition):
        answers.append(_compare(_value(path, left, scenario), sign, json.loads(literal.replace("'", '"'))))
    decisive = "||" in condition
    if decisive in answers and len(answers) > 1:
        return decisive
    if None in answers:
        raise NoValue
    return not decisive if len(answers) > 1 else bool(answers[0])


def _compare(value: Any, sign: str, literal: Any) -> bool | None:
    if (value is None and sign == "<") or (value is not None and type(value) is not type(literal)):
        return None
    return bool(OPERATORS[sign](value, literal))
