"""``fasray methods`` and ``fasray protocols``: what there is."""

from __future__ import annotations

import click
from rich.markup import escape

from fasray.cli.tables import make_console, make_table


@click.command()
@click.argument("name", required=False)
@click.option("--backbones", is_flag=True, help="List the networks that the setting `backbone` chooses from.")
def methods(name: str | None, backbones: bool) -> None:
    """List the methods, or print every setting of NAME: default, paper's value, range, unit, search range."""
    from fasray.methods import registry

    if backbones:
        _print_backbones()
    elif name is None:
        _print_methods()
    else:
        _print_settings(registry.get(name).name)


@click.command()
@click.option("--names", is_flag=True, help="Only the names, one a line.")
def protocols(names: bool) -> None:
    """List the protocols and their groups; any A&B->C over the domains of your data works too."""
    from fasray import protocols as known

    if names:
        for name in known.names():
            click.echo(name)
        return
    table = make_table("protocol", "group", "trains on", "is evaluated on", "headline", "note")
    for entry in known.describe():
        cells = (entry.name, entry.group, entry.sources, entry.target, entry.headline.upper(), entry.note)
        table.add_row(*map(escape, cells))
    make_console().print(table)


def _print_methods() -> None:
    from fasray.methods import registry
    from fasray.methods.model_size import model_size

    table = make_table(
        "method", "what it is", "paper", "backbone", "losses", "labels", "domains", "parameters", "GMACs"
    )
    for name in registry.names():
        kind = registry.get(name)
        method = kind(kind.Config())
        facts, needs, size = method.summary(), method.needs, model_size(name)
        labels = ", ".join(["live/spoof", *(label for label in ("depth", "parsing") if getattr(needs, label))])
        table.add_row(
            name, kind.title, kind.paper, str(facts.get("backbone", "")), ", ".join(facts.get("losses", ())), labels,
            f">= {needs.min_domains}", f"{size.parameters / 1e6:.2f} M", f"{size.macs / 1e9:.1f}",
        )  # fmt: skip
    console = make_console()
    console.print(table)
    console.print("domains: source domains needed. GMACs: multiply-accumulates to score one image of 256 px, in 10^9.")


def _print_backbones() -> None:
    from fasray.methods.model_size import backbone_size
    from fasray.nets import backbones

    table = make_table(
        "backbone",
        "what it is",
        "features",
        "parameters",
        "GMACs",
        "image",
        "optimizer",
        "rate",
        "from scratch",
        "source",
    )
    for name in backbones.names():
        known, size = backbones.get(name), backbone_size(name)
        table.add_row(
            name, known.title, str(known.num_features), f"{size.parameters / 1e6:.2f} M", f"{size.macs / 1e9:.1f}",
            f"{known.image_size} px", known.optimizer, f"{known.learning_rate:g}",
            f"{known.scratch_learning_rate:g}", known.source,
        )  # fmt: skip
    console = make_console()
    console.print(table)
    console.print(
        "At width 1. Parameters and GMACs (multiply-accumulates, in 10^9) are for one image of 256 px. image: size "
        "that published weights are for. rate, no weights: recommended learning rates with weights and without."
    )


def _print_settings(name: str) -> None:
    from fasray.methods import registry
    from fasray.methods.settings import arithmetic, describe

    kind = registry.get(name)
    console = make_console()
    console.print(f"{kind.title}: {kind.paper}", highlight=False, markup=False)
    table = make_table("setting", "default", "paper", "range", "unit", "searched", "what it is")
    for entry in describe(kind.Config):
        meaning = entry.meaning.replace("``", "")
        cells = (entry.name, entry.default, entry.paper, entry.range, entry.unit, entry.searched, meaning)
        table.add_row(*map(escape, cells))
    console.print(table)
    console.print(arithmetic(kind), highlight=False, markup=False)
