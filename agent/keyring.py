"""Holds a private key for one attempt: an ssh-agent of its own, which ends with the attempt's processes.

The key goes to ssh-add by a descriptor and is in the memory of ssh-agent from then on, nowhere else; the
job reaches it by a socket that only its user can open. Standard library only; used by the supervisor.
"""

import os
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from agent import elevated, terminal
from agent.terminal import Terminal

_PATIENCE_SECONDS = 20.0


class NoKey(Exception):
    """The key could not be loaded; the message is a sentence for the job's reason."""


def hold(key: Mapping[str, Any], who: Mapping[str, Any]) -> "subprocess.Popen[bytes]":
    """Start an ssh-agent with the key: {identity, text, passphrase, socket, ssh_agent, ssh_add}, as `who`."""
    agent = subprocess.Popen(
        [key["ssh_agent"], "-D", "-a", key["socket"]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        start_new_session=True,
        **who,
    )
    try:
        until = time.monotonic() + _PATIENCE_SECONDS
        while not os.path.exists(key["socket"]):
            if agent.poll() is not None or time.monotonic() > until:
                raise NoKey("The host could not start an ssh-agent for its key.")
            time.sleep(0.005)
        _add(key, who)
    except BaseException:
        agent.kill()
        agent.wait()
        raise
    return agent


def _add(key: Mapping[str, Any], who: Mapping[str, Any]) -> None:
    # A file, if in memory alone: of a key on standard input ssh-add does not ask for the passphrase properly.
    text = elevated.hold({"key": key["text"]}, ["key"], who["user"])["key"]
    tty, (said, saying) = Terminal(), os.pipe()
    try:
        adding = tty.start(
            [key["ssh_add"], "-q", f"/proc/self/fd/{text}"],
            pass_fds=[text],
            stdout=subprocess.DEVNULL,
            stderr=saying,
            env={"SSH_AUTH_SOCK": key["socket"], "SSH_ASKPASS_REQUIRE": "never", "LANG": "C.UTF-8"},
            **who,
        )
    finally:
        os.close(text)
        os.close(saying)
    try:
        why = _answer(adding, tty, key["passphrase"])
        if why is None and adding.wait() != 0:
            lines = os.read(said, 4096).decode("utf-8", "replace").strip().splitlines()
            why = lines[-1] if lines else f"it ended with code {adding.returncode}"
    finally:
        adding.kill()
        adding.wait()
        tty.close()
        os.close(said)
    if why is not None:
        raise NoKey(f"ssh-add does not take the key of {key['identity']}: {why.rstrip('.')}.")


def _answer(adding: "subprocess.Popen[bytes]", tty: Terminal, passphrase: str | None) -> str | None:
    """Type the passphrase when it is asked for; None when ssh-add has ended, else what is wrong."""
    until = time.monotonic() + _PATIENCE_SECONDS
    typed = False
    while adding.poll() is None:
        if time.monotonic() > until:
            return "it did not end in time"
        if typed and tty.read().strip():
            return "it does not open by its passphrase"  # it is asked for once more
        if not typed and tty.asks():
            if passphrase is None or not terminal.fits(passphrase):
                return "it has a passphrase, and none that can be typed came with it"
            tty.read()
            tty.type(passphrase)
            typed = True
        time.sleep(0.005)
    return None
