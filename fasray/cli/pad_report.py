"""``fasray pad-report``: what ISO/IEC 30107-3 asks of one model on one protocol, as one HTML page."""

from __future__ import annotations

import click

from fasray.cli.addresses import ADDRESS, OUT_FILE


@click.command("pad-report")
@click.argument("run", type=ADDRESS, metavar="RUN")
@click.argument("method")
@click.argument("protocol")
@click.option("-o", "--output", type=OUT_FILE, metavar="FILE", help="File or s3:// address; default: in RUN, by name.")
@click.option("--select", "rule", default="source-dev", show_default=True, metavar="RULE", help="Of the step.")
@click.option(
    "--threshold", default="eer", show_default=True, metavar="RULE", help="Of source-dev: eer, bpcer=X or apcer=X."
)
@click.option("--seed", type=int, help="Of the confirming run.  [default: the best by source-dev]")
@click.option("--iapar", type=float, metavar="PERCENT", help="Of a recognition system with this subsystem, for RIAPAR.")
@click.option("--frr", type=float, metavar="PERCENT", help="False reject rate of that system.")
def pad_report(
    run: str,
    method: str,
    protocol: str,
    output: str | None,
    rule: str,
    threshold: str,
    seed: int | None,
    iapar: float | None,
    frr: float | None,
) -> None:
    """Write the PAD test report of METHOD on PROTOCOL: error rates by species with exact bounds, and all around them.

    The page is for the screen and for paper; print it to PDF with any browser.
    """
    from fasray.results.pad_report import PadOptions, build_pad_report, pad_report_html
    from fasray.results.plots import file_stem
    from fasray.runs.record import read_run
    from fasray.storage import join, write_bytes

    shares = (None if value is None else value / 100 for value in (iapar, frr))
    options = PadOptions(method, protocol, rule, threshold, seed, *shares)
    report = build_pad_report(read_run(run), options)
    path = output or join(run, f"{file_stem('pad-report', method, report.tested.trial.protocol)}.html")
    write_bytes(path, pad_report_html(report).encode())
    click.echo(f"wrote {path}", err=True)
