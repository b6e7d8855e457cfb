"""The results of a preparation: counts, misses and problems, for the card, the files next to the shards, and people.

Nothing here depends on when or where it ran, so that the same preparation has the same manifest.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass
from typing import Any

from fasray.faces.corpora import Findings, get
from fasray.faces.extraction.crops import WHOLE
from fasray.faces.sets.manifest import Manifest
from fasray.ingest.chunks import PreparationPlan
from fasray.ingest.worklog import CARD_KEY, ChunkRecord, VideoCounts, VideoReport, add_counts
from fasray.names import printable

CARD_NAME, MISSES_NAME, PROBLEMS_NAME = "CARD.md", "misses.csv", "problems.csv"
UNREADABLE, NO_FACE, ODD = "unreadable", "no face", "odd"
_MOST_FINDINGS = 10_000
_INSIDE = "faces were found inside pictures that came cut out"


@dataclass(frozen=True)
class Problem:
    """A file that gave nothing, or that was used although it is unusual."""

    path: str
    """Relative to the corpus."""
    kind: str
    """``unreadable``, ``no face`` (in any frame that was taken) or ``odd``."""
    reason: str


@dataclass(frozen=True)
class PreparationResult:
    """A finished preparation."""

    manifest: Manifest
    counts: tuple[VideoCounts, ...]
    problems: tuple[Problem, ...]
    findings: Findings
    """How the folder differs from the published corpus."""

    @property
    def clean(self) -> bool:
        """Whether the corpus is complete and every file could be read."""
        return self.findings.whole and not any(problem.kind == UNREADABLE for problem in self.problems)


def outcome(plan: PreparationPlan, manifest: Manifest) -> PreparationResult:
    """Return the result that the card of a finished set holds."""
    stored = manifest.card
    return PreparationResult(
        manifest=manifest,
        counts=tuple(VideoCounts(**entry) for entry in stored["counts"]),
        problems=tuple(Problem(**entry) for entry in stored["problems"]),
        findings=plan.findings,
    )


def card(plan: PreparationPlan, records: list[ChunkRecord]) -> dict[str, Any]:
    """Return the card of the manifest, JSON values."""
    settings = plan.settings
    return {
        "kind": "prepared",
        "generated": plan.findings.generated,
        CARD_KEY: plan.facts,
        "crop": {
            **({} if settings.cropped == WHOLE else {"margin": float(settings.margin)}),
            "rotation": "none",
            "frame_rule": str(settings.rule),
        },
        "image": f"JPEG quality {settings.quality}, 4:4:4",
        "depth": f"{settings.detector}, 32x32, near = 255, zeros for attacks",
        "parsing": f"{settings.detector}, 64x64, class ids, zeros for attacks",
        "counts": [counts.model_dump() for counts in add_counts(part for record in records for part in record.tallies)],
        "problems": [asdict(problem) for problem in _problems(_reports(records))],
        "corpus_findings": _findings(plan),
    }


def _findings(plan: PreparationPlan) -> list[str]:
    """Return what a reader of the card should know of the corpus, which is not a list of a disk's content."""
    lines = plan.findings.lines()
    more = [f"... and {len(lines) - _MOST_FINDINGS} more"] if len(lines) > _MOST_FINDINGS else []
    return lines[:_MOST_FINDINGS] + more


def documents(plan: PreparationPlan, records: list[ChunkRecord]) -> dict[str, bytes]:
    """Return the readable files next to the shards, by name."""
    misses = [
        (report.path, report.video, report.attack_type, frame)
        for report in _reports(records)
        if not report.unreadable
        for frame in report.misses
    ]
    return {
        CARD_NAME: _card_text(plan, records).encode(),
        MISSES_NAME: _csv(("path", "video", "attack_type", "frame"), misses),
        PROBLEMS_NAME: _csv(("path", "kind", "reason"), map(astuple, _problems(_reports(records)))),
    }


def _reports(records: Iterable[ChunkRecord]) -> list[VideoReport]:
    return [report for record in records for report in record.odd]


def _problems(reports: Iterable[VideoReport]) -> list[Problem]:
    problems = []
    for report in reports:
        if report.unreadable:
            problems.append(Problem(report.path, UNREADABLE, report.unreadable))
        problems += [Problem(report.path, ODD, remark) for remark in report.remarks]
        if 0 < report.taken == len(report.misses):
            frames = f"any of {report.taken} frames" if report.taken > 1 else "its only frame"
            problems.append(Problem(report.path, NO_FACE, f"no face in {frames}"))
    return problems


def _csv(header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _card_text(plan: PreparationPlan, records: list[ChunkRecord]) -> str:
    settings = plan.settings
    counts = add_counts(part for record in records for part in record.tallies)
    rows = "\n".join(
        f"| {printable(t.domain)} | {t.split} | {t.attack_type} | {t.videos} | {t.unreadable} | {t.without_face} |"
        f" {t.frames} | {t.misses} |"
        for t in counts
    )
    models = "\n".join(f"- {name}: sha256 {digest}" for name, digest in settings.facts()["models"].items())
    versions = ", ".join(f"{name} {version}" for name, version in plan.facts["versions"].items())
    findings = _findings(plan)
    whole = "It is as published." if plan.findings.known else "Nothing is missing."
    differs = "\n".join(f"- {line}" for line in findings) or whole
    rules = "".join(f"\nRead with {name}: {value}.\n" for name, value in plan.rules.items() if value)
    crops = f"side = face mesh x\n{settings.margin:g}, never rotated, JPEG quality {settings.quality} (4:4:4)"
    if settings.cropped == WHOLE:
        crops = f"scaled from\npictures that came cut out, JPEG quality {settings.quality} (4:4:4)"
    elif settings.cropped:
        crops += f";\n{_INSIDE}"
    return f"""# {get(plan.corpus).title}, prepared

{len(plan.videos)} videos. Frames taken: {settings.rule}. Face crops of {settings.image_size} px, {crops}.
{rules}
Depth and parsing are drawn from the face mesh of detector `{settings.detector}`: they are estimates, no measurement;
zeros for attacks. Hair, neck, clothes and glasses are not told apart.

| domain | split | attack type | videos | unreadable | without a face | frames | frames without a face |
|---|---|---|---|---|---|---|---|
{rows}

Frames without a face are left out and listed in {MISSES_NAME}; files that gave nothing or are odd in {PROBLEMS_NAME}.

## The corpus

{differs}

## Made with

Recipe {plan.facts["format"]}; {versions}.

{models}
"""
