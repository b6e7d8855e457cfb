"""Tables on standard output."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def make_table(*texts: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table: columns of text, then columns of right-aligned numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in texts:
        table.add_column(header, overflow="fold")
    for header in numbers:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def make_console() -> Console:
    """Return a console that wraps to the terminal, and in a pipe or file leaves lines whole, however long."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100_000)
