"""Random acyclic workflows, walked by the engine's rules and by the reference interpreter alike."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from definitions.examination import read_workflow
from definitions.simulation import simulate
from definitions.step_documents import walk
from definitions.workflow import parse
from tests.definitions.reference_interpreter import Steps, at_once, interpret
from tests.live.sizes import LIMIT_SECONDS, size

NOW = datetime(2027, 1, 31, 8, 0, tzinfo=UTC)
HOSTS = ["h1", "h2"]
PRINTED = ["", "a", "b\n", '{"k": 1}', '{"k": "t"}', "[1]", '{"x": null}\n']
PROPERTIES = ["stdout", "exit_code", "json.k", "hosts.h2.exit_code", "hosts.h1.stdout"]
CONDITIONS = ["exit_code == 0", "exit_code < 2", "stdout == 'a'", "json.k == 1", "hosts.h1.exit_code != 0"]


class Author:
    """Writes a workflow and a scenario for it, both by dice."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.count = 0
        self.opened: list[list[str]] = []
        """Of the list being written and those around it: the steps that check out."""
        self.crowded = dice.random() < 0.3
        """Much is checked out, of few identities, and by one name: they meet."""

    def document(self) -> dict[str, Any]:
        steps = self.steps(2, ["inputs.n"])
        inputs = [{"name": "n", "type": "integer"}]
        return {"name": "w", "inputs": inputs, "steps": steps}

    def scenario(self) -> dict[str, Any]:
        return {"inputs": {"n": self.dice.randrange(3)}, "hosts": HOSTS, "steps": self.outcomes}

    def steps(self, depth: int, known: list[str]) -> Steps:
        """A list that only leads onward; `known` are the roots its references may have, and grows."""
        names = [self.name() for _ in range(self.dice.randint(1, 5 if self.opened else 9))]
        self.opened.append([])
        steps: Steps = []
        for number, name in enumerate(names):
            much = ["continue"] * (40 if self.crowded else 6)  # mostly on: much happens then
            onward = [*names[number + 1 :], *much, "end", "fail"]
            kinds = [*["command"] * 4, *["condition"] * 2, "approval", "delay", *["parallel"] * depth]
            kinds += [*["pam_checkout"] * (9 - 3 * depth), "pam_checkin"]
            if self.crowded:
                kinds = [*["command"] * 3, *["pam_checkout"] * 3, "pam_checkin", *["parallel"] * depth]
            step = {"id": name, **self.step(self.dice.choice(kinds), name, depth, known)}
            self.limits(step)
            for field in ("on_true", "on_false") if step["type"] == "condition" else ("on_success",):
                self.maybe(step, field, onward)
            self.maybe(step, "on_failure", [*onward, "cancelled"])
            steps.append(step)
        opened = self.opened.pop()
        if self.opened:
            self.opened[-1] += opened
        return steps

    def limits(self, step: dict[str, Any]) -> None:
        """Deadlines, waves, attempts; and some of what is of its kind stands in `config`."""
        kinds = ("command", "approval", "parallel", "pam_checkout")
        if step["type"] in kinds and self.dice.random() < 0.3:
            step["timeout_minutes"] = self.dice.uniform(0.02, 0.4)
        if step["type"] == "command":
            for field in ("max_parallel", "max_failures", "retries"):
                if self.dice.random() < 0.6:
                    step[field] = self.dice.choice([1, 1, 2])
        if step["type"] in ("command", "condition") and self.dice.random() < 0.2:
            step["config"] = {step["type"]: step.pop(step["type"])}

    def maybe(self, step: dict[str, Any], field: str, targets: list[str]) -> None:
        if self.dice.random() < 0.9:
            step[field] = self.dice.choice(targets)

    def name(self) -> str:
        self.count += 1
        return f"s{self.count}"

    def step(self, kind: str, name: str, depth: int, known: list[str]) -> dict[str, Any]:
        if kind == "parallel":
            # Steps of a branch are seen beyond it, and not in the branches beside it.
            seen = [[*known] for _ in range(self.dice.randint(1, 3))]
            branches = [{"steps": self.steps(depth - 1, one)} for one in seen]
            for one in seen:
                known += [root for root in one if root not in known]
            return {"type": kind, "join": self.dice.choice(["all", "any"]), "branches": branches}
        # No two things ever happen at the same moment, but for `at_once`.
        told: dict[str, Any] = {"seconds": self.dice.uniform(0.1, 9)}
        self.outcomes[name] = told
        if kind == "command":
            told |= self.left()
            if self.dice.random() < 0.5:
                told["hosts"] = {self.dice.choice(HOSTS): self.left()}
            read = self.dice.randrange(2 if self.crowded else 4)
            command = " ".join(self.reference(known) for _ in range(read))
            people = [root for root in known if root.startswith("id_")][-3:] + ["id_x"] * ("id_x" in known)
            known.append(f"step_{name}")
            step = {"type": kind, "command": f"echo {command}"}
            if people and self.dice.random() < 0.8:
                step["run_as"] = f"{{{{{self.dice.choice(people)}}}}}"
                if self.dice.random() < 0.5:
                    told["seconds"] *= 30  # longer than the minute for which it may be checked out
            return step
        steps = [root for root in known if root.startswith("step_")]
        if kind == "condition" and steps:
            some = [self.comparison(steps) for _ in range(self.dice.randint(1, 3))]
            return {"type": kind, "condition": self.dice.choice([" && ", " || "]).join(some)}
        told["outcome"] = self.dice.choice(["success", *["success"] * (5 if self.crowded else 1), "failure"])
        if kind == "pam_checkout":
            return self.checkout(name, known, told)
        if kind == "pam_checkin":
            return self.checkin() or {"type": "delay", "hours": 1}
        if kind == "approval":
            return {"type": kind, "approvers": ["role:x"], "title": f"Go {self.reference(known)}?"}
        return {"type": "delay", "hours": 1}

    def checkout(self, name: str, known: list[str], told: dict[str, Any]) -> dict[str, Any]:
        """Two may have one name, and be one identity, in a list or side by side."""
        step = {"type": "pam_checkout", "reason": self.reference(known)}
        few = ["id_c", "id_d"] if self.crowded else [f"id_{name}", f"id_{name}", "id_c"]
        step["identity"] = self.dice.choice(few)
        step["variable_name"] = self.dice.choice([f"id_{name}", "id_x", "id_x"])
        self.opened[-1].append(name)
        told["username"] = f"user of {step['identity']}"
        known += [root for root in (step["identity"], step["variable_name"]) if root not in known]
        return step if self.dice.random() < 0.5 else {**step, "duration_minutes": 1}

    def checkin(self) -> dict[str, Any] | None:
        """Of a branch: what the branch has checked out, as another one may use the rest at that moment."""
        opened = self.opened[-1]
        chosen = self.dice.sample(opened, self.dice.randint(0, len(opened)))
        return {"type": "pam_checkin", "checkout": chosen} if chosen or len(self.opened) == 1 else None

    def left(self) -> dict[str, Any]:
        codes = [0, 0, 0, 1, 3, *[0] * (9 if self.crowded else 0)]
        return {"stdout": self.dice.choice(PRINTED), "exit_code": self.dice.choice(codes)}

    def comparison(self, steps: list[str]) -> str:
        return f"{{{{{self.dice.choice(steps)}.{self.dice.choice(CONDITIONS)}".replace(" ", "}} ", 1)

    def reference(self, known: list[str]) -> str:
        shared = "id_x" in known and self.dice.random() < 0.4
        root = "id_x" if shared else self.dice.choice(known)
        properties = ["username", "password"] if root.startswith("id_") else PROPERTIES
        path = root if root.startswith("inputs") else f"{root}.{self.dice.choice(properties)}"
        return self.dice.choice([f"{{{{{path}}}}}", f"{{{{variables.{path}}}}}", f'"<{{{{{path}}}}}>"'])


Walked = tuple[str, dict[str, tuple[float, float | None, str, Any]]]


def _simulated(document: dict[str, Any], scenario: dict[str, Any]) -> Walked:
    found = simulate(read_workflow(document), scenario, NOW)
    return str(found.status), {
        step.step: (step.began, step.ended, str(step.status), values_of(step.type, step.input))
        for step in found.path
    }


def values_of(kind: str, sent: dict[str, Any]) -> Any:
    if kind == "command":
        return list(sent["environment"].values()) if "environment" in sent else None
    # A title that has no value stands as it was written.
    return sent["title"] if kind == "approval" and "{{" not in sent["title"] else None


def _referred(document: dict[str, Any], scenario: dict[str, Any]) -> Walked:
    status, events = interpret(document, scenario)
    return status, {event.step: (event.began, event.ended, event.status, event.values) for event in events}


@pytest.mark.timeout(LIMIT_SECONDS)
def test_the_path_and_every_value_are_the_reference_interpreters() -> None:
    seen: dict[str, int] = {}
    for seed in range(size(300, 20_000)):
        author = Author(random.Random(seed))
        document, scenario = author.document(), author.scenario()
        if at_once(interpret(document, scenario)[1]):
            continue
        expected, found = _referred(document, scenario), _simulated(document, scenario)
        assert found == expected, f"seed {seed}"
        for word in (found[0], *(status for _, _, status, _ in found[1].values())):
            seen[word] = seen.get(word, 0) + 1
        for kind, word in _pam(document, found):
            seen[f"{kind} {word}"] = seen.get(f"{kind} {word}", 0) + 1
    assert min(seen[word] for word in ("completed", "failed", "cancelled")) > 10, seen
    ran = [f"{kind} {word}" for kind in ("run_as", "pam_checkout") for word in ("completed", "failed")]
    assert min(seen[word] for word in [*ran, "pam_checkin completed"]) > 5, seen


def _pam(document: dict[str, Any], found: Walked) -> Iterator[tuple[str, str]]:
    """How the steps about identities ended, to see that these were among the dice."""
    for step, _ in walk(parse(document)[0].steps, ""):  # type: ignore[union-attr]
        kind = "run_as" if getattr(step, "run_as", None) else step.type
        if step.id in found[1]:
            yield kind, found[1][step.id][2]
