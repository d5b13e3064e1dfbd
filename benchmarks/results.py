"""Keeps a run's figures under `benchmarks/results/`, as JSON for programs and Markdown for people."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.table import markdown

FOLDER = Path(__file__).parent / "results"


def _introduction(about: Mapping[str, Any], parts: Sequence[str]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items() if version)
    return "\n".join(
        [
            f"# Figures of {about['date'][:10]}, commit {about['commit']}",
            "",
            f"Measured: {', '.join(parts)}, at {about['date']}. Peers in the same run, on the same machine.",
            "The value is the median where a 90th percentile stands beside it.",
            "",
            f"{about['cores']} cores ({about['processor']}), {about['memory_gib']} GiB, {about['system']}, "
            f"Python {about['python']}; {about['busy_cores_before']} cores were busy before the run began.",
            f"{packages}.",
            "",
        ]
    )


def write(
    about: Mapping[str, Any], parts: Sequence[str], figures: Sequence[Figure], folder: Path = FOLDER
) -> list[Path]:
    """Write both files, named by date and commit."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{about['date'][:10]}-{about['commit'].rstrip('+')}" + (
        "" if len(parts) > 2 else "-" + "-".join(parts)
    )
    data, text = folder / f"{stem}.json", folder / f"{stem}.md"
    document = {
        "about": dict(about),
        "parts": list(parts),
        "figures": [figure.as_dict() for figure in figures],
    }
    data.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    text.write_text(f"{_introduction(about, parts)}\n{markdown(figures)}", encoding="utf-8")
    return [data, text]
