"""One attempt's process tree, seen from the agent: start it, read it, terminate it, kill it."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agent import launcher
from agent.rights import User

_READ_LIMIT = 64 * 1024


class CannotStart(Exception):
    """The process could not be started; the message is a sentence for the job's reason."""


class LauncherGone(Exception):
    """The process that forks supervisors has died: the agent must be started again."""


@dataclass(frozen=True)
class Key:
    """A private key, and the programs that hold it."""

    identity: str
    text: str = field(repr=False)
    passphrase: str | None = field(repr=False)
    socket: str
    ssh_agent: str
    ssh_add: str


@dataclass(frozen=True)
class Su:
    """How su lets the agent in."""

    su: str
    user: str
    program: list[str]
    """What to start as that user: `agent.programs.as_user`."""
    password: str = field(repr=False)


@dataclass(frozen=True)
class Launch:
    """What to start."""

    argv: list[str]
    environment: dict[str, str]
    folder: Path
    stdin: Path | None = None
    """None: /dev/null."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values by the variable that says where the process can read each; they are never on disk."""
    private: tuple[str, ...] = ()
    """Those of them that a file's rights must allow to its user alone."""
    key: Key | None = None
    """A private key for its processes, held by an ssh-agent."""
    su: Su | None = None
    """How to become its user where the agent may not; then `folder` and `files` are made by that user."""
    files: Mapping[str, str] | None = None
    user: User | None = None
    """Whom its processes become; None: the agent's own user."""
    leaves_running: bool = False
    """What still runs when the leader has ended by itself is let go, not killed."""


@dataclass(frozen=True)
class ProcessId:
    """A pid and the start time that tells it from a later process with the same pid."""

    pid: int
    started: int


@dataclass
class ProcessTree:
    """The processes of one attempt, from the first to the last that is left."""

    leader: ProcessId
    supervisor: ProcessId
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader
    _control: asyncio.StreamWriter
    _pipes: list[asyncio.ReadTransport]
    leaves_running: bool
    _listener: asyncio.Task[None] | None = None
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    """The leader has ended, or the supervisor was killed (then `exit_code` stays None)."""
    empty: asyncio.Event = field(default_factory=asyncio.Event)
    """No process is left, or those left can't be killed (`stuck`) or were let go."""
    exit_code: int | None = None
    stuck: int = 0

    def terminate(self) -> None:
        """Ask every process of the tree to end."""
        self._send(b"T")

    def kill(self) -> None:
        """Kill every process of the tree; `empty` is set when that is done."""
        self._send(b"K")

    def release(self) -> None:
        """Let what still runs go on without us; `empty` is set when the supervisor has gone."""
        self._send(b"R")

    async def close(self) -> None:
        """Let the supervisor go; it kills what is left first."""
        for pipe in self._pipes:
            pipe.close()
        self._control.close()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

    def _send(self, letter: bytes) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self._control.write(letter)

    async def listen(self, control: asyncio.StreamReader) -> None:
        """Take what the supervisor says until it has gone."""
        try:
            while line := await control.readline():
                message = json.loads(line)
                if "exited" in message:
                    self.exit_code = int(message["exited"])
                    self.exited.set()
                if "empty" in message or "stuck" in message:
                    self.stuck = int(message.get("stuck", 0))
                    self.empty.set()
        except (OSError, ValueError):
            pass
        finally:
            self.exited.set()
            self.empty.set()


async def start(launch: Launch, launcher_socket: socket.socket) -> ProcessTree:
    """Start the process. CannotStart says why it can't be; LauncherGone that nothing can be any more."""
    ours, theirs = socket.socketpair()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    try:
        launcher.ask(launcher_socket, theirs.fileno(), out_write, err_write)
    except OSError as error:
        ours.close()
        os.close(out_read)
        os.close(err_read)
        raise LauncherGone("The agent's launcher process has died.") from error
    finally:
        theirs.close()
        os.close(out_write)
        os.close(err_write)
    stdout, out_pipe = await _reader(out_read)
    stderr, err_pipe = await _reader(err_read)
    control_in, control_out = await asyncio.open_unix_connection(sock=ours)
    request = {
        "argv": launch.argv,
        "environment": launch.environment,
        "folder": str(launch.folder),
        "stdin": str(launch.stdin) if launch.stdin else None,
        "secrets": dict(launch.secrets),
        "private": launch.private,
        "user": (launch.user.uid, launch.user.gid, launch.user.groups) if launch.user else None,
        "key": asdict(launch.key) if launch.key else None,
        "su": asdict(launch.su) if launch.su else None,
        "files": None if launch.files is None else dict(launch.files),
    }
    answer: dict[str, object] = {}
    try:
        control_out.write(json.dumps(request).encode() + b"\n")
        await control_out.drain()
        answer = json.loads(await control_in.readline() or b"{}")
    except (OSError, ValueError):
        answer = {}
    if "leader" not in answer:
        for pipe in (out_pipe, err_pipe):
            pipe.close()
        control_out.close()
        if "refused" in answer:
            raise CannotStart(str(answer["refused"]))
        failed = answer.get("failed") or "no process could be made for it"
        raise CannotStart(f"The host could not start {launch.argv[0]}: {failed}.")
    tree = ProcessTree(
        leader=_process_id(answer["leader"]),
        supervisor=_process_id(answer["supervisor"]),
        stdout=stdout,
        stderr=stderr,
        _control=control_out,
        _pipes=[out_pipe, err_pipe],
        leaves_running=launch.leaves_running,
    )
    tree._listener = asyncio.create_task(tree.listen(control_in))
    return tree


async def _reader(fd: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    reader = asyncio.StreamReader(limit=_READ_LIMIT)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", buffering=0)
    )
    return reader, transport


def _process_id(pair: object) -> ProcessId:
    assert isinstance(pair, list)
    return ProcessId(int(pair[0]), int(pair[1]))
