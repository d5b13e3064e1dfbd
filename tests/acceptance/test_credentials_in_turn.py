"""Ten workflows want one exclusive identity at once: one after the other has it, and each gets it."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.live.known_as import makes
from tests.live.sizes import CHAOS
from tests.live.stack import LiveStack, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600 if CHAOS else 240)]

MANY = 10
HOSTS = ("host-1", "host-of-turns")


@pytest.fixture
def hosts(live: LiveStack) -> Iterator[LiveStack]:
    """Two of them, so that not the host is what keeps them apart."""
    name = live.add_agent(HOSTS[1])
    yield live
    live.call(live.stack.processes.remove(name))


def test_an_exclusive_identity_is_never_held_twice_and_everybody_is_served(
    hosts: LiveStack, tmp_path: Path
) -> None:
    """Under `./run chaos` each finds another password in force, for it is rotated after every use."""
    live, lines = hosts, tmp_path / "lines"
    with makes(live, tmp_path) as make:
        known = make.one("role", HOSTS[0], exclusive=True, rotate_after_use=CHAOS)
        says = f'echo "$PARAM_WHO %s" >> {lines}'
        content = f"set -e; {says % 'has it'}; {known.log_in}; sleep 0.3; {says % 'gives it back'}"
        script = {"name": "in-turn", "language": "bash", "content": content, "parameters": [{"name": "who"}]}
        assert live.admin.put("/scripts/by-name/in-turn", json=script).status_code == 201
        out = {"id": "out", "type": "pam_checkout", "identity": known.name, "variable_name": "turn"}
        who = {"parameters": {"who": "{{instance.id}}"}, "run_as": "{{turn}}"}
        use = {"id": "use", "type": "script", "script": "in-turn", **who}
        live.publish({"name": "in-turn", "steps": [out, use, {"id": "in", "type": "pam_checkin"}]})
        numbers = [live.launch("in-turn", [HOSTS[turn % 2]]) for turn in range(MANY)]
        ended = [live.ended(number, 400 if CHAOS else 180) for number in numbers]
        assert [view["status"] for view in ended] == ["completed"] * MANY, ended
        assert known.notes.read_text().split() == [known.user] * MANY

        said = lines.read_text().splitlines()
        order = [int(line.split()[0]) for line in said[::2]]
        assert said == [f"{number} {what}" for number in order for what in ("has it", "gives it back")]
        assert sorted(order) == sorted(numbers)

        rows = live.admin.get("/checkouts", params={"identity": known.name}).json()["items"]
        assert [row["instance_id"] for row in rows[::-1]] == order, "in the order in which they asked"
        for before, after in pairwise(rows[::-1]):
            assert before["ended_at"] <= after["active_at"]
        assert rows[0]["ended_at"]
        if CHAOS:
            path = f"/identities/{known.name}"
            last = rows[0]["ended_at"]
            until(lambda: live.admin.get(path).json()["rotated_at"] > last, 60, "the last rotation")
            assert (known.lets_in(known.current()), known.lets_in(known.first)) == (True, False)
