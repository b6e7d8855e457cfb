"""The code that the documentation shows for using an exported model without fasray, as it is there."""

import os
import re
from pathlib import Path
from typing import Any

from locations import ROOT

PAGE = ROOT / "docs" / "how-to" / "score-and-export.md"


def run_shown_code(model: Path) -> dict[str, Any]:
    """Run the code next to a copy of the model; return its names."""
    (code,) = re.findall(r"<!-- without fasray -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "fasray" not in {line.split()[1].split(".")[0] for line in code.splitlines() if line.startswith("import")}
    names: dict[str, Any] = {"__name__": "shown"}
    before = Path.cwd()
    try:
        os.chdir(model.parent)
        exec(compile(code.replace("model.onnx", model.name), str(PAGE), "exec"), names)  # noqa: S102
    finally:
        os.chdir(before)
    return names
