"""MkDocs hook: the reference pages that follow from the code, made when the site is built and kept nowhere else.

``pages`` is a function of the installed package alone. Each page is Markdown, under the path that the navigation of
``mkdocs.yml`` gives it; the pages of single methods are added to the navigation here.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping

from markdown_text import code, prose, sentence, table
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from sweep_file_page import sweep_file_page

import fasray
from fasray import cli, errors, protocols
from fasray.environment import VARIABLES
from fasray.faces.record import ATTACK_TYPES, OPTIONAL_COLUMNS, PARSING_CLASSES, RECORD_SCHEMA
from fasray.methods import registry
from fasray.methods.model_size import backbone_size, model_size
from fasray.methods.settings import arithmetic, describe
from fasray.nets.backbones import registry as backbones
from fasray.results.ablations import ABLATION_COLUMNS
from fasray.results.calibrated import CALIBRATION_COLUMNS
from fasray.results.compare import COMPARE_COLUMNS
from fasray.results.costs import COST_COLUMNS
from fasray.results.frame import COLUMNS, MARK_COLUMNS
from fasray.results.importance import IMPORTANCE_COLUMNS
from fasray.results.listings import EVALUATION_COLUMNS, SCORE_COLUMNS, TRIAL_COLUMNS
from fasray.results.selection import PLANNED_SELECTIONS, SELECTIONS, Selection
from fasray.results.slices import SLICE_COLUMNS
from fasray.results.tables.published import PUBLISHED_COLUMNS
from fasray.results.transfer import GAP_COLUMNS, THRESHOLD_COLUMNS
from fasray.runs.events import EVENTS
from fasray.runs.scores import SCORE_SCHEMA

METHODS = "reference/methods"


def on_config(config: MkDocsConfig) -> None:
    """Add a page for each method to the navigation, after the index of the methods."""
    for section in config.nav or ():
        for pages in section.values() if isinstance(section, dict) else ():
            for entry in pages if isinstance(pages, list) else ():
                if isinstance(entry, dict) and "Methods" in entry:
                    entry["Methods"] += [f"{METHODS}/{name}.md" for name in registry.METHODS]


def on_page_content(html: str, page: Page, **_: object) -> str:
    """Leave empty what a command has none of: mkdocs-click prints click's mark of "no default" as if it were one."""
    of_commands = page.file.src_uri == "reference/cli.md"
    return re.sub(r"<code>(?:Sentinel\.UNSET|None)</code>|(?<=<td>)N/A(?=</td>)", "", html) if of_commands else html


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the generated pages."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))


def pages() -> dict[str, str]:
    """Return every generated page, Markdown by path."""
    made = {
        "reference/sweep-file.md": sweep_file_page(),
        f"{METHODS}/index.md": method_index(),
        **{f"{METHODS}/{name}.md": method_page(name) for name in registry.METHODS},
        "reference/protocols.md": protocol_page(),
        "reference/selection-rules.md": rule_page(),
        "reference/result-columns.md": column_page(),
        "reference/face-record.md": record_page(),
        "reference/events.md": event_page(),
        "reference/exit-codes.md": exit_code_page(),
        "reference/environment.md": environment_page(),
        "reference/api.md": api_page(),
    }
    return {path: text.strip() + "\n" for path, text in made.items()}


def method_index() -> str:
    """Return the page of all methods."""
    rows = []
    for name in registry.METHODS:
        kind = registry.get(name)
        method = kind(kind.Config())
        facts, needs, size = method.summary(), method.needs, model_size(name)
        labels = ", ".join(["live/spoof", *(label for label in ("depth", "parsing") if getattr(needs, label))])
        made_of = f"{facts.get('backbone', '')}; {', '.join(facts.get('losses', ()))}"
        numbers = (str(needs.min_domains), f"{size.parameters / 1e6:.2f}", f"{size.macs / 1e9:.1f}")
        rows.append((f"[`{name}`]({name}.md)", f"{kind.title}: {kind.paper}", made_of, labels, *numbers))
    header = ("name", "method", "backbone and losses", "labels", "domains", "parameters", "GMACs")
    return "\n\n".join(
        (
            "# Methods",
            table(header, rows),
            "At their published settings. Domains: least number of source domains. Parameters in 10^6. GMACs: "
            "multiply-accumulates to score one image of 256 px, in 10^9.",
            "Each page has the method's own notes (idea, equations, where paper and official code differ, published "
            "figures), every setting, and the ranges that a sweep searches if its file names none. `fasray methods "
            "NAME` prints the settings. To write another one, see [Add a method](../../tutorial/add-a-method.md).",
            "## Backbones",
            "What the setting `backbone` chooses from; `fasray methods --backbones` prints the same. To write another "
            "one, see [Add a backbone](../../how-to/add-a-backbone.md).",
            table(
                ("name", "network", "features", "parameters", "GMACs", "image", "recommended learning rates", "source"),
                [backbone_row(name) for name in backbones.BACKBONES],
            ),
            "Learning rates: with pretrained weights, and from scratch. Image: size of the published weights, pixels.",
        )
    )


def backbone_row(name: str) -> tuple[str, ...]:
    """Return the row of a backbone in the table of all."""
    known, size = backbones.get(name), backbone_size(name)
    rates = f"{known.optimizer} {known.learning_rate:g}, {known.scratch_learning_rate:g}"
    numbers = (str(known.num_features), f"{size.parameters / 1e6:.2f}", f"{size.macs / 1e9:.1f}", str(known.image_size))
    return (f"`{name}`", known.title, *numbers, rates, known.source)


def method_page(name: str) -> str:
    """Return the page of one method: notes of its module, settings, search ranges."""
    kind = registry.get(name)
    rows = [
        (
            f"`{entry.name}`",
            sentence(entry.meaning, end=""),
            code(entry.default),
            entry.paper,
            ", ".join(filter(None, (entry.range, entry.unit.removeprefix("1")))),
            entry.searched,
        )
        for entry in describe(kind.Config)
    ]
    module = inspect.getmodule(kind)
    return "\n\n".join(
        (
            f"# {kind.title}",
            f"`{name}` · {kind.paper}",
            prose(module.__doc__ if module else kind.__doc__),
            "## Settings",
            f"Under `methods.{name}.config` in a sweep file, or `--set config.KEY=VALUE` of `fasray train`.",
            table(("setting", "meaning", "default", "paper", "values", "searched"), rows),
            arithmetic(kind),
        )
    )


def protocol_page() -> str:
    """Return the page of the named protocols, group by group."""
    listings = protocols.describe()
    letters = table(("domain", "corpus"), [(f"`{k}`", v) for k, v in protocols.DOMAIN_TITLES.items()])
    groups = [(f"`{group}`", ", ".join(map(code, members))) for group, members in protocols.GROUPS.items()]
    parts = [
        "# Protocols",
        "A protocol says which domains train and which one is the target. A sweep file takes groups, names, or any "
        "`A&B->C` over the domains of the data, with filters, shots and extra sources: [Choose "
        "protocols](../how-to/protocols.md). Which rows are source and which target is explained in [Honest "
        "evaluation](../explanation/honest-evaluation.md).",
        letters,
        "## Groups",
        table(("group", "protocols"), groups),
    ]
    for group in dict.fromkeys(listing.group for listing in listings):
        rows = [
            (f"`{entry.name}`", entry.sources, entry.target, entry.headline.upper(), entry.note)
            for entry in listings
            if entry.group == group
        ]
        parts += [f"## `{group}`", table(("protocol", "sources", "target", "headline figure", "note"), rows)]
    return "\n\n".join(parts)


def rule_page() -> str:
    """Return the page of the selection rules."""
    rules = {**SELECTIONS, **PLANNED_SELECTIONS}
    told = dict(re.findall(r"^``([\w-]+)`` +(.+(?:\n {4,}.+)*)", sys.modules[Selection.__module__].__doc__ or "", re.M))
    parts = [
        "# Selection rules",
        "A rule picks the step, and so the checkpoint, at which a trial is evaluated, and the decision threshold. "
        "† marks the oracles, which read the labels of the target: much of the literature does, and no deployed system "
        "can. They are marked wherever they are shown. `fasray results RUN --select RULE` applies one; "
        "`mean-of-last-3` and the like are accepted too.",
        table(
            ("rule", "in short", "threshold", "reads target labels"),
            [
                (
                    f"[`{name}`](#{name})" + " †" * rule.oracle,
                    rule.meaning,
                    f"`{rule.threshold_rule}`",
                    "yes" if rule.oracle else "no",
                )
                for name, rule in rules.items()
            ],
        ),
    ]
    for name, rule in rules.items():
        parts += [
            f"## `{name}`" + " †" * rule.oracle + f" {{ #{name} }}",
            sentence(re.sub(r"\s+", " ", told.get(name, rule.meaning)).replace("``", "`")),
        ]
        if rule.any_trial:
            parts.append("It compares all trials of a cell, those of the search included, and reports one of them.")
        if rule.inner:
            parts.append(
                "Only for sweeps with `confirm: {leave_one_source_out: true}`; see [Honest "
                "evaluation](../explanation/honest-evaluation.md#leave-one-source-out)."
            )
    return "\n\n".join(parts)


def column_page() -> str:
    """Return the page of the columns of every frame."""
    frames = (
        ("Results", "", "load_results", "One row per method, protocol, selection rule and level.", COLUMNS),
        (
            "Trials",
            "trials",
            "load_trials",
            "Also `config.<name>` of each searched setting.",
            TRIAL_COLUMNS,
        ),
        ("Evaluations", "evaluations", "load_evaluations", "One row an evaluation.", EVALUATION_COLUMNS),
        ("Scores", "scores", "load_scores", "One row a frame.", SCORE_COLUMNS),
        ("Ablations", "ablations", "", "One row per method, protocol and ablation.", ABLATION_COLUMNS),
        (
            "Importance",
            "importance",
            "",
            "One row per method, protocol and searched setting, or pair of settings.",
            IMPORTANCE_COLUMNS,
        ),
        ("Cost", "cost", "load_costs", "One row a cell, and one for the sweep.", COST_COLUMNS),
        ("Slices", "slices", "", "One row per cell, attribute, group of the target and figure.", SLICE_COLUMNS),
        ("Thresholds", "thresholds", "", "One row per cell and threshold rule.", THRESHOLD_COLUMNS),
        ("Calibration", "calibration", "", "One row per cell and kind of calibration.", CALIBRATION_COLUMNS),
        ("Gap", "gap", "", "One row a cell.", GAP_COLUMNS),
    )
    parts = [
        "# Result columns",
        "Rates are fractions here and percent in printed tables. Scores: higher is more bona fide.",
    ]
    for title, what, function, rows, columns in frames:
        command = f"`fasray results RUN{f' --what {what}' if what else ''}`"
        parts += [f"## {title}", f"{command}{f', `fasray.{function}`' if function else ''}. {rows}", _columns(columns)]
    where = "Added to the results where a protocol has shots of the target or an extra source."
    parts += ["## Marks", where, _columns(MARK_COLUMNS)]
    parts += ["## Published figures", "Added to the results by `--published`.", _columns(PUBLISHED_COLUMNS)]
    parts += ["## Comparison", "Of `fasray compare`, one row a method and protocol.", _columns(COMPARE_COLUMNS)]
    return "\n\n".join(parts)


def _columns(columns: Mapping[str, str]) -> str:
    return table(("column", "meaning"), [(f"`{name}`", prose(meaning)) for name, meaning in columns.items()])


def record_page() -> str:
    """Return the page of the face record and of the score file."""
    fields = [table(("column", "type"), [(f"`{field.name}`", f"`{field.type}`") for field in schema]) for schema in
              (RECORD_SCHEMA, SCORE_SCHEMA)]  # fmt: skip
    return "\n\n".join(
        (
            "# Face record and score file",
            "A face set is a folder of Parquet shards with a `manifest.json`, which holds the SHA-256 and number of "
            "rows of each shard and the card of the preparation. A row is one face.",
            "## Face record",
            fields[0],
            "`label` is 1 for bona fide (live) and 0 for an attack (spoof). `image` is a square JPEG crop with margin; "
            "`depth` is 32 x 32 (near = 255) and `parsing` 64 x 64 class ids, both zeros for attacks. `subject` and "
            "`video` are unique over all domains, and (`video`, `frame`) is the key of a record. `crop_matrix` takes "
            "pixels of the frame to pixels of the crop.",
            f"{', '.join(map(code, OPTIONAL_COLUMNS))} are in a shard only if one of its rows has a value there; empty "
            "is unknown.",
            f"Attack types: {', '.join(map(code, ATTACK_TYPES))}. "
            "`partial` covers a part of the face alone (printed glasses, a strip of paper); `makeup` is cosmetics. "
            f"Parsing classes, in order: {', '.join(map(code, PARSING_CLASSES))}.",
            "## Score file",
            "`trials/<id>/eval-<step>.parquet` of a run: every score of one evaluation, written once.",
            fields[1],
        )
    )


def event_page() -> str:
    """Return the page of the events of a run's log."""
    schema = EVENTS.json_schema()
    rows = []
    for entry in schema["$defs"].values():
        if kind := entry["properties"].get("event", {}).get("const"):
            fields = ", ".join(code(name) for name in entry["properties"] if name != "event")
            rows.append((code(kind), sentence(entry.get("description", ""), end=""), fields))
    return "\n\n".join(
        (
            "# Events",
            "The log of a run has one JSON object an event, in order. Each is written durably before it takes effect, "
            "and folding them in order gives the state of every trial: see [Resume and the "
            "ledger](../explanation/resume-and-ledger.md).",
            table(("event", "meaning", "fields"), rows),
        )
    )


def exit_code_page() -> str:
    """Return the page of the exit codes, from the tree of exceptions."""
    kinds: list[type[errors.FasrayError]] = [errors.FasrayError]
    found: dict[int, list[type[errors.FasrayError]]] = {}
    while kinds:
        kind = kinds.pop(0)
        kinds += kind.__subclasses__()
        if kind.__module__ == errors.__name__ and kind is not errors.FasrayError:
            found.setdefault(kind.exit_code, []).append(kind)
    rows = [("0", "", "done"), ("1", "", "an unexpected error, with its traceback")]
    rows += [
        (
            str(number),
            ", ".join(f"`{kind.__name__}`" for kind in kinds),
            " ".join(prose(kind.__doc__) for kind in kinds),
        )
        for number, kinds in sorted(found.items())
    ]
    rows.append((str(cli._INTERRUPTED), "", "stopped before anything began"))
    return "\n\n".join(
        (
            "# Exit codes",
            "An error is one message: what happened, where (file, key, line), and what to do about it.",
            table(("code", "exception", "meaning"), rows),
            "A trial whose loss is no longer finite ends as *diverged*, and the sweep goes on. A face that cannot be "
            "decoded is left out, counted, and named in the score files.",
            "From Python the same exceptions are raised: catch `fasray.errors.FasrayError` for all of them.",
            "::: fasray.errors.FasrayError\n    options:\n      heading_level: 2",
        )
    )


def environment_page() -> str:
    """Return the page of the environment variables."""
    rows = [
        (", ".join(f"`{name}`" for name in entry.name.split(", ")), entry.meaning, entry.default) for entry in VARIABLES
    ]
    return "\n\n".join(
        (
            "# Environment variables",
            table(("variable", "meaning", "default"), rows),
            "fasray never deletes a pool. Pools can be deleted whenever nothing runs; the next run fills them again.",
        )
    )


def api_page() -> str:
    """Return the page of the public Python API."""
    parts = ["# Python API", prose(fasray.__doc__)]
    parts += [f"::: fasray.{name}\n    options:\n      heading_level: 2" for name in fasray.__all__ if name[0] != "_"]
    parts += [
        "## Writing a method",
        "See [Add a method](../tutorial/add-a-method.md).",
        *(
            f"::: {name}\n    options:\n      heading_level: 3"
            for name in (
                "fasray.methods.base.Method", "fasray.methods.base.MethodConfig", "fasray.methods.base.Needs",
                "fasray.methods.base.Draw", "fasray.methods.base.Build", "fasray.methods.base.StepContext",
                "fasray.methods.base.TrainingImages", "fasray.faces.loading.augment_recipe.Augment",
                "fasray.faces.loading.sampler.Sampling", "fasray.testing.MethodContract",
            )
        ),
    ]  # fmt: skip
    return "\n\n".join(parts)
