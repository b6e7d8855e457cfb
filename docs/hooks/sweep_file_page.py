"""The reference page of the sweep file, from the JSON schemas of its sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markdown_text import code, sentence, table

from fasray.methods import space
from fasray.methods.settings import bounds
from fasray.sweep.profiles import PROFILES
from fasray.sweep.spec import SweepSpec
from fasray.training.trial import TrainingSpec

Schema = Mapping[str, Any]


def sweep_file_page() -> str:
    """Return the page of every key of a sweep file."""
    schema = SweepSpec.model_json_schema()
    parts = [
        "# Sweep file",
        "A sweep file is YAML. Unknown and repeated keys are errors; a message names the line and the nearest key that "
        "exists. `--set search.seed=7` overrides a key from the command line. [A sweep of your "
        "own](../tutorial/your-own-sweep.md) shows a whole file.",
        "## The file",
        _properties(schema, schema),
    ]
    for path, name in _sections(schema, schema):
        parts += [f"## `{path}`", sentence(schema["$defs"][name].get("description", ""))]
        parts.append(_properties(schema["$defs"][name], schema))
    training = TrainingSpec.model_json_schema()
    own = {key: entry for key, entry in training["properties"].items() if key != "ingest"}
    parts += [
        "## `training`",
        f"{sentence(training['description'])} The profile sets what is left out; a key given here overrides it.",
        table(
            ("key", "value", "default", "meaning"),
            [
                ("`profile`", " or ".join(map(code, PROFILES)), "`full`", "named bundle of size, width and budget"),
                *_rows({"properties": own}, training),
            ],
        ),
        "`augment` takes the fields of [`Augment`](api.md#writing-a-method), for example "
        "`{jitter: [0.4, 0.4, 0.4, 0.1], blur: [0.0, 0.01]}`. A field that is given holds for all views of a method.",
        "## Profiles",
        "A profile only overrides: what it does not name is the method's published setting. "
        "`fasray plan` lists what it changes.",
        table(
            ("profile", "meaning", "training", "at most"),
            [
                (
                    f"`{name}`",
                    profile.title,
                    _settings(profile.training),
                    _limits(profile.most_search_trials, profile.most_confirm_seeds),
                )
                for name, profile in PROFILES.items()
            ],
        ),
        *_profile_methods(),
        "## Ranges",
        "A range stands under `methods.<name>.space`, by the name of the setting.",
        table(
            ("range", "meaning"),
            [
                (
                    f"`{{{key}: [...]}}`" if key in {"grid", "choice"} else f"`{{{key}: [low, high]}}`",
                    sentence(meaning),
                )
                for key, meaning in _ranges()
            ],
        ),
    ]
    return "\n\n".join(parts)


def _profile_methods() -> Iterator[str]:
    for name, profile in PROFILES.items():
        if profile.methods:
            changed = {
                method: (profile.methods.get(method, {}), profile.budgets.get(method, {}))
                for method in dict.fromkeys((*profile.methods, *profile.budgets))
            }
            yield f"### `{name}`, method by method"
            yield table(
                ("method", "configuration", "training"),
                [(f"`{method}`", *map(_settings, parts)) for method, parts in changed.items()],
            )


def _settings(values: Schema) -> str:
    return ", ".join(f"`{key}: {value}`" for key, value in values.items())


def _limits(trials: int | None, seeds: int | None) -> str:
    told = ((trials, "search trials a cell"), (seeds, "confirming seeds"))
    return ", ".join(f"{count} {what}" for count, what in told if count)


def _ranges() -> Iterator[tuple[str, str]]:
    for kind in (space.Grid, *space.Sampled.__args__):
        (key,) = kind.model_fields
        yield key, kind.__doc__ or ""


def _sections(entry: Schema, root: Schema, path: str = "") -> Iterator[tuple[str, str]]:
    """Name each section that is a model of its own, with the keys that lead to it."""
    for key, value in entry.get("properties", {}).items():
        for name, inner in _models(value):
            here = ".".join(filter(None, (path, key, "<name>" if inner else "")))
            if not _is_range(root["$defs"][name]):
                yield here, name
                yield from _sections(root["$defs"][name], root, here)


def _models(value: Schema, inner: bool = False) -> Iterator[tuple[str, bool]]:
    if "$ref" in value:
        yield value["$ref"].rpartition("/")[2], inner
    for part in (*value.get("anyOf", ()), *value.get("allOf", ())):
        yield from _models(part, inner)
    if isinstance(value.get("additionalProperties"), dict):
        yield from _models(value["additionalProperties"], True)


def _is_range(model: Schema) -> bool:
    return list(model.get("properties", {})) in [[key] for key, _ in _ranges()]


def _properties(entry: Schema, root: Schema) -> str:
    return table(("key", "value", "default", "meaning"), _rows(entry, root))


def _rows(entry: Schema, root: Schema) -> Iterator[tuple[str, str, str, str]]:
    required = entry.get("required", ())
    for key, value in entry["properties"].items():
        models = [name for name, _ in _models(value)]
        meaning = value.get("description") or next((root["$defs"][name].get("description", "") for name in models), "")
        default = "required" if key in required else _default(value)
        yield f"`{key}`", values(value, root), default, sentence(meaning, end="")


def _default(value: Schema) -> str:
    default = value.get("default")
    if isinstance(default, dict) and default:
        return "see below"
    if "default" not in value:  # made by a factory: an empty mapping, or a section of its own defaults
        return "see below" if next(_models(value), None) else "`{}`"
    return "" if default is None else code(default)


def values(entry: Schema, root: Schema) -> str:
    """Return what a key may hold, in words."""
    if "$ref" in entry:
        model = root["$defs"][entry["$ref"].rpartition("/")[2]]
        return "a range" if _is_range(model) else "a mapping"
    if "anyOf" in entry:
        return " or ".join(dict.fromkeys(values(part, root) for part in entry["anyOf"] if part.get("type") != "null"))
    if "enum" in entry:
        return " or ".join(map(code, entry["enum"]))
    if "const" in entry:
        return code(entry["const"])
    kind = entry.get("type", "any value")
    if kind == "array":
        return f"list of {values(entry['items'], root)}s" if "items" in entry else "list"
    if kind == "object":
        inner = entry.get("additionalProperties")
        held = values(inner, root) if isinstance(inner, dict) and inner else ""
        return f"mapping of names to {held}" if held else "mapping"
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true` or `false`"}
    return " ".join(filter(None, (words.get(kind, kind), bounds(entry))))
