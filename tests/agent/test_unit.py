"""The systemd unit says what the agent's own rules need: how to stop it, and when not to start it again."""

from agent import loop, runner
from agent.__main__ import DEFAULT_STATE, UNIT, main
from agent.loop import EXITS, Settings


def unit() -> dict[str, str]:
    """The settings, those given once."""
    lines = (line.strip() for line in UNIT.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_an_agent_that_the_server_does_not_want_is_not_started_again():
    final = {code for code, _ in EXITS.values()} - {1}
    assert {int(code) for code in unit()["RestartPreventExitStatus"].split()} == final
    assert unit()["Restart"] == "always"


def test_stopping_leaves_time_for_the_grace_and_for_ending_what_still_runs():
    longest = Settings().grace_seconds + 1.0 + runner._EMPTY_SECONDS + loop._FLUSH_SECONDS
    assert int(unit()["TimeoutStopSec"]) > longest


def test_only_the_agent_is_asked_to_stop_and_one_job_out_of_memory_does_not_end_the_others():
    assert (unit()["KillMode"], unit()["OOMPolicy"]) == ("mixed", "continue")


def test_its_folder_is_the_agents_default_and_private():
    assert f"/var/lib/{unit()['StateDirectory']}" == DEFAULT_STATE
    assert unit()["StateDirectoryMode"] == "0700"
    assert unit()["AssertPathExists"] == f"{DEFAULT_STATE}/agent.json"


def test_it_holds_a_job_back_from_nothing():
    hardening = ("NoNewPrivileges", "Protect", "Private", "Restrict", "Capability", "SystemCall", "ReadOnly")
    assert [name for name in unit() if name.startswith(hardening)] == []


def test_the_program_prints_it(capsys):
    assert main(["unit"]) == 0
    printed = capsys.readouterr().out
    assert "/bin/opsgate-agent run\n" in printed
    assert len(printed.splitlines()) == len(UNIT.read_text().splitlines())
