"""What watches over the processes of one attempt: a child subreaper, one per attempt.

Every process that the job leaves behind, also one that moved to a session of its own and lost
its parent, is handed to this process by the kernel, so that nothing escapes the kill. When the
agent dies, even by SIGKILL, the control socket ends and the tree is killed.

It is forked by `agent.launcher` and talks JSON lines over the control socket: it reads one
request {argv, environment, folder, stdin, secrets, private, user, key, su, files}, says {leader, ...},
{failed} or {refused}, then {exited}, {empty} (no process is left) or {stuck}; it takes the letters T
(terminate), K (kill) and R (release: leave, and let what still runs go on). With `su` it hands all of this
to another one that su starts as another user. Standard library only, no threads, no event loop.
"""

import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from agent import elevated, keyring, processes, su

_PR_SET_CHILD_SUBREAPER = 36
_KILL_PATIENCE_SECONDS = 10.0
_libc = ctypes.CDLL(None, use_errno=True)


def run_to_end(control: socket.socket, stdout: int, stderr: int) -> NoReturn:
    """Supervise one attempt, then leave without running anything of the process this was forked from."""
    code = 1
    try:
        Supervisor(control).watch(stdout, stderr)
        code = 0
    finally:
        os._exit(code)


class Supervisor:
    """The state of one attempt's processes."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._leader = self._keyring = 0
        self._empty_said = False
        if os.getsid(0) != os.getpid():  # su has made it the leader of one already
            os.setsid()
        # A handler, not SIG_IGN: an ignored signal would stay ignored in the job's processes.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "this kernel has no child subreaper")

    def watch(self, stdout: int, stderr: int) -> None:
        """Start what is asked for and stay until the agent closes the control socket."""
        with self._control.makefile("rb") as lines:
            request = json.loads(lines.readline())
        if request["su"] is not None:
            self._through_su(request, stdout, stderr)
        else:
            self.watch_over(request, stdout, stderr)

    def _through_su(self, request: Mapping[str, Any], stdout: int, stderr: int) -> None:
        how = request["su"]
        try:
            door = su.Door(how["su"], how["user"], how["program"])
            door.enter(how["password"])
            door.hand_over({**request, "su": None}, [self._control.fileno(), stdout, stderr])
        except su.NotLetIn as refused:
            self._say({"refused": str(refused)})
            return
        except OSError as error:
            self._say({"failed": str(error.strerror)})
            return
        # The other one speaks with the agent from now on: who holds these too would hide its end.
        self._control.close()
        os.close(stdout)
        os.close(stderr)
        door.wait()

    def watch_over(self, request: Mapping[str, Any], stdout: int, stderr: int) -> None:
        """`watch`, of a request that was read."""
        folder = Path(request["folder"])
        if request["files"] is None:
            self._watch_over(request, stdout, stderr)
            return
        # Of another user, in whose folder the agent could neither write nor clear up.
        try:
            folder.mkdir(mode=0o700)
            for name, content in request["files"].items():
                (folder / name).write_text(content, encoding="utf-8")
        except OSError as error:
            self._say({"failed": f"{folder} can't be made by that user ({error.strerror})"})
        else:
            self._watch_over(request, stdout, stderr)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _watch_over(self, request: Mapping[str, Any], stdout: int, stderr: int) -> None:
        if not self._start(request, stdout, stderr):
            self._kill()  # who holds its key may be there
            return
        os.close(stdout)
        os.close(stderr)
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        selector.register(self._wake, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if self._wake in ready:
                os.read(self._wake, 4096)
            self._reap()
            if self._control in ready and not self._obey():
                return

    def _start(self, request: Mapping[str, Any], stdout: int, stderr: int) -> bool:
        secrets, private, descriptors = request["secrets"], request["private"], {}
        uid, gid, groups = request["user"] or (None, None, None)
        who: dict[str, Any] = {"user": uid, "group": gid, "extra_groups": groups}
        try:
            if request["key"] is not None:
                # One more process of the tree, which `_reap` collects.
                held = keyring.hold(request["key"], who)
                held.returncode, self._keyring = 0, held.pid
            if request["stdin"] is None:
                stdin = os.open(os.devnull, os.O_RDONLY)
                descriptors = elevated.hold(secrets, private, uid)
            else:  # through sudo, which closes every descriptor but the first three
                given = Path(request["stdin"]).read_bytes()
                values = json.dumps({"values": secrets, "private": private}).encode()
                stdin = elevated.memory_file(given + b"\n" + values)
            variables = request["environment"] | elevated.variables_of(descriptors)
            environment = {key.encode(): value.encode() for key, value in variables.items()}
            try:
                leader = subprocess.Popen(
                    request["argv"],
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    cwd=request["folder"],
                    env=environment,
                    umask=0o022,
                    **who,
                    start_new_session=True,
                    pass_fds=list(descriptors.values()),
                )
            finally:
                for fd in (stdin, *descriptors.values()):
                    os.close(fd)
        except keyring.NoKey as refused:
            self._say({"refused": str(refused)})
            return False
        except (OSError, ValueError) as error:
            self._say({"failed": str(error.strerror if isinstance(error, OSError) else error)})
            return False
        leader.returncode = 0  # else its finaliser may reap the process before `_reap` learns its end
        self._leader = leader.pid
        me = os.getpid()
        self._say(
            {
                "leader": [leader.pid, processes.start_of(leader.pid)],
                "supervisor": [me, processes.start_of(me)],
            }
        )
        return True

    def _obey(self) -> bool:
        """Carry out what the agent asks; False when the agent has gone, or lets the processes go."""
        try:
            letters = self._control.recv(64)
        except OSError:
            letters = b""
        if b"R" in letters:
            return False
        if b"K" in letters or not letters:
            self._kill()
        elif b"T" in letters:
            # The key stays while they put things in order.
            asked = [pid for pid in self._tree() if pid != self._keyring]
            processes.signal_all(asked, signal.SIGTERM)
        return bool(letters)

    def _tree(self) -> list[int]:
        return processes.descendants(os.getpid(), processes.every())

    def _kill(self) -> None:
        until = time.monotonic() + _KILL_PATIENCE_SECONDS
        while self._reap() and time.monotonic() < until:
            # Again and again: a process may fork between the look and the kill.
            processes.signal_all(self._tree(), signal.SIGKILL)
            time.sleep(0.002)
        if not self._empty_said:
            self._say({"stuck": len(self._tree())})

    def _reap(self) -> bool:
        """Collect what has ended; False when no process is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                if not self._empty_said:
                    self._empty_said = True
                    self._say({"empty": True})
                return False
            if pid == 0:
                return True
            if pid == self._leader:
                code = os.waitstatus_to_exitcode(status)
                self._say({"exited": code if code >= 0 else 128 - code})

    def _say(self, message: dict[str, object]) -> None:
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return  # the agent has gone: the closed socket ends the watch
