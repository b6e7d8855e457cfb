"""``fasray data corpora``: which corpora can be prepared, and how they are on disk."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import click


@click.command()
@click.argument("name", required=False)
def corpora(name: str | None) -> None:
    """List the corpora that can be prepared, or print NAME's folders, names and splits, and what is not known."""
    from rich.markup import escape

    from fasray.cli.tables import make_console, make_table
    from fasray.faces import corpora as adapters

    if name is not None:
        module = inspect.getmodule(type(adapters.get(name)))
        click.echo(inspect.cleandoc(module.__doc__ or "").replace("``", "") if module else "")
        return
    table = make_table("corpus", "title", "domain", "kind", "for example", numbers=("live", "attack"))
    for name_ in adapters.names():
        corpus = adapters.get(name_)
        counts = corpus.published().values()
        example = next((video.path for video in corpus.examples() if video.label), "")
        texts = (name_, corpus.title, corpus.domain, f"{corpus.kind}s", example)
        table.add_row(*map(escape, texts), _total(live for live, _ in counts), _total(attack for _, attack in counts))
    make_console().print(table)


def _total(counts: Iterable[int]) -> str:
    return str(sum(counts) or "")
