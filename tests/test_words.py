"""One common word for one thing: what users read has no private English, and no name is one that was replaced."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from locations import ROOT

FILES = sorted((ROOT / "fasray").rglob("*.py"))
PHRASES = (
    r"told\b", r"tells\b", r"stands\b", r"stood\b", r"beside\b", r"(?<!there )is none\b(?! of)", r"mend(s|ed)?\b",
    r"sign of life", r"the mind of", r"in the way\b", r"again and again", r"look-?alikes?\b", r"ill\b", r"for sure\b",
)  # fmt: skip
"""Private words of before, each with what a reader of Ray's, torch's or optuna's documentation expects instead."""
NAMES = {
    "in_the_way", "Reach", "driven_by", "again", "WarmTrial", "settle", "Desk", "Told", "train_share", "HandOut",
    "Decide", "FaceBank", "own_pool", "Filling", "Teller", "Listed", "course", "Visit", "leg", "follow", "side_by_side",
    "OPEN", "refuse_what_this_machine_never_fits", "Stamps", "print_of", "Kept", "_Equipment", "odd", "Judge", "Asked",
    "foreign", "passes", "Patience", "collecting_later", "_leaving_for_sure", "at_once", "Errand", "well",
    "ill", "Sitter", "_Show", "_dress", "FaceShelf", "_LIVES", "_TRIES", "RunView",
}  # fmt: skip


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every public docstring, text of an exception and text of the command line of a file, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            if not getattr(node, "name", "").startswith("_"):
                yield getattr(node, "lineno", 1), text
        elif isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and is_click(node.func)):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


def is_click(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and ast.unparse(function.value) in ("click", "console")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_users_read_is_standard_english(path: Path) -> None:
    found = [
        f"line {line}: {match[0]!r} in {text[max(0, match.start() - 30) : match.end() + 30]!r}"
        for line, text in texts(path)
        for phrase in PHRASES
        for match in re.finditer(rf"\b{phrase}", text)
    ]
    assert not found, "\n".join(found)


def test_no_replaced_name_is_back() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}: {node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in NAMES
    ]
    assert not found + [str(path) for path in FILES if path.stem in NAMES]


def test_a_private_word_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        '"""Told."""\ndef f():\n    """It is told."""\n    raise ValueError(f"{f} is none")\n'
    )
    read = [text for _, text in texts(tmp_path / "a.py")]
    assert sum(bool(re.search(rf"\b{phrase}", text)) for text in read for phrase in PHRASES) == 2
