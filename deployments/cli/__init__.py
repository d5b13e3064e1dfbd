"""The command line: `opsgate NOUN VERB`, one file per noun.

Speaks REST like any other client; only `up`, `demo`, `migrate`, `doctor` and the servers touch the
store. `app.py` names every command by a string, so that `--help` imports none of them.
"""
