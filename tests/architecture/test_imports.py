"""Imports point one way: import-linter's contracts hold, and can be broken."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_import_contracts_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_help_of_the_command_line_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from deployments.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'prefect', 'asyncpg', 'sqlalchemy', 'fastapi', 'pydantic', 'httpx2', 'yaml'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stdout + done.stderr


def test_the_contract_about_the_agent_names_every_other_module_of_it():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = next(each for each in contracts if each["name"].startswith("The server knows the agent only"))
    modules = {f"agent.{path.stem}" for path in (ROOT / "agent").glob("*.py")}
    modules |= {f"agent.{path.parent.name}" for path in (ROOT / "agent").glob("*/__init__.py")}
    allowed = {"agent.__init__", "agent.protocol", "agent.payloads"}
    assert set(named["forbidden_modules"]) == modules - allowed
