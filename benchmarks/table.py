"""The one table: figures down, who across, as text for the terminal and as Markdown."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.figure import AIMS, WHO, Figure

_WIDTH = 180
_WORDS = {True: "yes", False: "NO", None: ""}


def amount(figure: Figure) -> str:
    """A value with its unit, to three figures; the 90th percentile behind it where there is one."""
    shown = _amount(figure.value, figure.unit)
    return f"{shown} (p90 {_amount(figure.p90, figure.unit)})" if figure.p90 is not None else shown


def _amount(value: float, unit: str) -> str:
    if unit == "s" and abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"


def grid(figures: Sequence[Figure]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a row a figure name, a column for everyone measured, then the aim."""
    present = [who for who in WHO if any(figure.who == who for figure in figures)]
    header = ["figure", *present, "aim", "met"]
    rows = []
    for name in dict.fromkeys(figure.name for figure in figures):
        cells = {figure.who: figure for figure in figures if figure.name == name}
        aim = AIMS.get(name)
        met = aim.met({who: figure.value for who, figure in cells.items()}) if aim else None
        shown = [amount(cells[who]) if who in cells else "" for who in present]
        rows.append([name, *shown, aim.text if aim else "", _WORDS[met]])
    return header, rows


def notes(figures: Sequence[Figure]) -> list[str]:
    """What has to be known to read the figures."""
    said = (f"{figure.name}, {figure.who}: {figure.note}" for figure in figures if figure.note)
    return list(dict.fromkeys(said))


def markdown(figures: Sequence[Figure]) -> str:
    """The table and its notes."""
    header, rows = grid(figures)
    lines = [header, ["---"] * len(header), *rows]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    said = "\n".join(f"- {note}" for note in notes(figures))
    return f"{text}\n\n{said}\n" if said else f"{text}\n"


def show(figures: Sequence[Figure]) -> None:
    """The table in the terminal."""
    header, rows = grid(figures)
    table = Table(show_lines=False)
    for number, column in enumerate(header):
        table.add_column(column, overflow="fold", justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH  # a log can be as wide as the table
    console.print(table)
    for note in notes(figures):
        console.print(f"  {note}", style="dim", highlight=False)
