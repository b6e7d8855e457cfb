"""``fasray watch``."""

from __future__ import annotations

import click

from fasray.cli.addresses import ADDRESS


@click.command()
@click.argument("runs", type=ADDRESS, metavar="RUN...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve at; any other needs a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8642, show_default=True, help="0 takes a free one.")
def watch(runs: tuple[str, ...], host: str, port: int) -> None:
    """Show RUN on a local web page as it goes: on a disk or S3, running here or elsewhere, ended or dead.

    Several runs are shown side by side. Nothing is written, and no target figure is sent before its cell is confirmed.
    Where other machines reach the address, the page asks for the text in FASRAY_WATCH_TOKEN.
    """
    from fasray.watch.followed import Followed
    from fasray.watch.serve import listen, serve, token_for

    token = token_for(host)
    followed = [Followed(run) for run in runs]
    with listen(host, port) as listening:
        at = listening.getsockname()
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"open http://{shown}:{at[1]} in a browser; Ctrl-C ends it", err=True)
        serve(followed, listening, token)
