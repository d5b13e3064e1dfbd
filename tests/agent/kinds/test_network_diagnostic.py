"""`network_diagnostic`: ports of real sockets, the host's real tools or a sentence that names them."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import program
from agent.environment import PATH
from agent.kinds import network_diagnostic
from agent.payloads import NetworkDiagnosticPayload

TOOLS = ("ping", "traceroute", "nslookup", "dig")


@pytest.fixture
def port() -> Iterator[int]:
    """A TCP port of this host where somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def test_a_port_that_is_open_is_said_to_be(run, port):
    done = await run("network_diagnostic", action="port_check", host="localhost", port=port)
    assert done.exit_code == 0
    assert f"localhost (127.0.0.1) port {port} is open" in done.out


async def test_a_closed_port_fails_with_the_reason(run):
    with socket.socket() as closed:  # bound, so that nobody else listens there meanwhile
        closed.bind(("127.0.0.1", 0))
        number = closed.getsockname()[1]
        done = await run("network_diagnostic", action="port_check", host="127.0.0.1", port=number)
    assert (done.exit_code, done.err) == (
        1,
        f"127.0.0.1 (127.0.0.1) port {number} is not open: Connection refused.\n",
    )


async def test_a_host_without_an_address_fails_in_words(run):
    done = await run("network_diagnostic", action="port_check", host="nowhere.invalid", port=80)
    assert (done.exit_code, "nowhere.invalid has no address" in done.err) == (1, True)


async def test_netstat_shows_a_socket_that_listens(run, port):
    done = await run("network_diagnostic", action="netstat")
    if shutil.which("netstat", path=PATH) or shutil.which("ss", path=PATH):
        assert (done.exit_code, f"127.0.0.1:{port}" in done.out) == (0, True)
    else:
        assert "there is no netstat and no ss in" in done.reason


@pytest.mark.parametrize("tool", TOOLS)
async def test_a_tool_runs_or_its_absence_is_said(run, tool):
    done = await run("network_diagnostic", action=tool, host="127.0.0.1")
    if shutil.which(tool, path=PATH):
        assert done.outcome == "exited"
    else:
        assert done.outcome == "refused"
        assert done.reason.startswith(f"{tool} is not on this host: there is no {tool} in /usr/local/sbin")


@pytest.mark.parametrize(
    ("payload", "arguments"),
    [
        ({"action": "ping", "host": "web-1"}, ["ping", "-n", "-c", "4", "web-1"]),
        ({"action": "ping", "host": "::1", "count": 2}, ["ping", "-n", "-c", "2", "::1"]),
        ({"action": "traceroute", "host": "web-1"}, ["traceroute", "web-1"]),
        ({"action": "nslookup", "host": "a.example"}, ["nslookup", "a.example"]),
        (
            {"action": "nslookup", "host": "a.example", "record_type": "MX", "server": "192.0.2.1"},
            ["nslookup", "-type=MX", "a.example", "192.0.2.1"],
        ),
        ({"action": "dig", "host": "mx"}, ["dig", "-q", "mx"]),
        (
            {"action": "dig", "host": "a.example", "record_type": "TXT", "server": "192.0.2.1"},
            ["dig", "@192.0.2.1", "-q", "a.example", "-t", "TXT"],
        ),
    ],
)
def test_a_tool_is_called_with_exactly_these_arguments(payload, arguments, tmp_path, monkeypatch):
    (tmp_path / arguments[0]).touch(mode=0o755)
    monkeypatch.setattr("agent.environment.PATH", str(tmp_path))
    made = network_diagnostic.program(NetworkDiagnosticPayload(**payload), tmp_path)
    assert made == program.Program([str(tmp_path / arguments[0]), *arguments[1:]])


def test_ss_takes_the_place_of_a_netstat_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "ss").touch(mode=0o755)
    monkeypatch.setattr("agent.environment.PATH", str(tmp_path))
    made = network_diagnostic.program(NetworkDiagnosticPayload(action="netstat"), Path())
    assert made == program.Program([f"{tmp_path}/ss", "-tunap"])


@pytest.mark.parametrize(
    ("payload", "command"),
    [
        ({"action": "ping", "host": "web-1"}, ["ping.exe", "-n", "4", "web-1"]),
        ({"action": "traceroute", "host": "web-1"}, ["tracert.exe", "-d", "web-1"]),
        ({"action": "netstat"}, ["netstat.exe", "-ano"]),
        ({"action": "nslookup", "host": "a", "record_type": "A"}, ["nslookup.exe", "-type=A", "a"]),
        ({"action": "dig", "host": "a"}, ["dig.exe", "-q", "a"]),
    ],
)
def test_the_command_lines_on_windows(payload, command):
    assert network_diagnostic.windows(NetworkDiagnosticPayload(**payload)) == command
