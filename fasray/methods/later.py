"""Settings that came when a method had runs already, whose ids and hashes stay."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, Field

Value = TypeVar("Value")
LATER = "later"
"""Key of a field's JSON schema."""


def later(default: Value) -> Value:
    """Return the pydantic field of a setting that came when the method had runs already.

    While it has its default it is not written, neither into trials nor into a sweep's canonical form, so that ids and
    hashes of runs from before stay, and such runs resume. For numbers: ``quantity(..., later=True)``.
    """
    field: Value = Field(default, json_schema_extra={LATER: True})
    return field


def later_names(config: type[BaseModel]) -> frozenset[str]:
    """Return the names of the settings that are not written while they have their default."""
    extras = {name: field.json_schema_extra for name, field in config.model_fields.items()}
    return frozenset(name for name, extra in extras.items() if isinstance(extra, dict) and extra.get(LATER))
