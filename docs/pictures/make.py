"""Make the pictures of the documentation again: ``python docs/pictures/make.py runs/quickstart``.

RUN is a finished quickstart. Needs Chromium with its driver, pdflatex, pdftoppm, and ``fasray`` on the path.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
PAPER = r"""\documentclass{article}
\usepackage{booktabs,graphicx}
\usepackage[paperwidth=175mm,paperheight=190mm,margin=4mm]{geometry}
\pagestyle{empty}
\begin{document}\footnotesize
\input{table}
\end{document}
"""


def main(run: Path) -> None:
    """Write every picture beside this file."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        faces(folder)
        plot(run, folder)
        table(run, folder)
        report(folder)


def call(folder: Path, *command: str) -> None:
    """Run a command in a folder."""
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def faces(folder: Path) -> None:
    """Draw the contact sheet of the set of the tutorial."""
    call(folder, "fasray", "data", "synth", "faces", "--subjects", "4", "--seed", "7")
    call(folder, "fasray", "data", "preview", "faces", "-o", str(HERE / "faces.jpg"), "--columns", "2")


def plot(run: Path, folder: Path) -> None:
    """Write the report and its plots; keep the one of honest and oracle figures."""
    options = ("-o", "report.html", "--plots", "plots", "--plot-format", "png")
    call(folder, "fasray", "report", str(run.resolve()), *options)
    shutil.copyfile(folder / "plots" / "honest-against-oracle.png", HERE / "honest-against-oracle.png")


def table(run: Path, folder: Path) -> None:
    """Set the table of a paper, and cut its margin off."""
    call(folder, "fasray", "results", str(run.resolve()), "--format", "latex", "--published", "-o", "table.tex")
    (folder / "paper.tex").write_text(PAPER, encoding="utf-8")
    call(folder, "pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex")
    call(folder, "pdftoppm", "-png", "-gray", "-r", "135", "-singlefile", "paper.pdf", "table")
    page = np.asarray(cv2.imread(str(folder / "table.png"), cv2.IMREAD_GRAYSCALE))
    ink = np.less(page, 255)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    top, left = max(rows[0] - 16, 0), max(columns[0] - 16, 0)
    cv2.imwrite(str(HERE / "table.png"), page[top : rows[-1] + 16, left : columns[-1] + 16])


def report(folder: Path) -> None:
    """Photograph the top of the report."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in ("--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={folder / 'chromium'}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    size = {"width": 1210, "height": 976, "deviceScaleFactor": 0.769, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((folder / "report.html").as_uri())
    browser.get_screenshot_as_file(str(HERE / "report.png"))
    browser.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
