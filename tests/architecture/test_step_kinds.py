"""A step kind is known under one name everywhere: its model, and the module that runs it."""

import importlib
import pkgutil
from typing import get_args

import definitions.steps
from tasks.kinds import KINDS

NOT_A_KIND = {"step"}
"""`step.py` holds what all kinds share."""


def kinds() -> set[str]:
    """The literal values of the `type` field over the closed union."""
    found: set[str] = set()
    for module in pkgutil.iter_modules(definitions.steps.__path__):
        if module.name in NOT_A_KIND:
            continue
        loaded = importlib.import_module(f"definitions.steps.{module.name}")
        for value in vars(loaded).values():
            fields = getattr(value, "model_fields", {})
            if getattr(value, "__module__", "") == loaded.__name__ and "type" in fields:
                found.update(get_args(fields["type"].annotation))
    return found


def test_every_kind_has_one_file_of_its_name():
    files = {module.name for module in pkgutil.iter_modules(definitions.steps.__path__)} - NOT_A_KIND
    assert kinds() == files


def test_every_kind_of_the_manual_is_there():
    manual = {"script", "command", "approval", "condition", "delay", "pam_checkout", "pam_checkin"}
    assert kinds() == manual | {"parallel"}


def test_the_kinds_that_run_have_a_task_module_of_their_name():
    assert set(KINDS) <= kinds()
    for name, kind in KINDS.items():
        assert kind.begin.__module__ == f"tasks.{name}"
