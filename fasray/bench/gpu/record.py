"""The record of a check, as it is in its JSON document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Row = dict[str, Any]
Status = Literal["done", "partly", "skipped", "failed"]


class Part(BaseModel):
    """One thing that was looked at, a row for each method."""

    model_config = ConfigDict(extra="forbid")

    name: str
    title: str
    about: str = Field(description="what is measured, how, and how to read it")
    columns: dict[str, str] = Field(description="meaning and unit of each key of a row, in the page's order")
    judges: bool = Field(False, description="whether results can be wrong, not only slow")
    status: Status = "done"
    reason: str = Field("", description="why rows are missing")
    seconds: float = 0.0
    rows: list[Row] = Field(default_factory=list)
    findings: list[str] = Field(default_factory=list, description="what the rows mean, one sentence each")
    wrong: list[str] = Field(default_factory=list, description="what must not be: a result outside its tolerance")
    settings: dict[str, Any] = Field(default_factory=dict, description="part of a sweep file that follows from it")


class Record(BaseModel):
    """Everything that a check has found."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    check: Literal["gpu-check", "gpu-check-ray"]
    complete: bool = Field(False, description="whether every part has had its turn")
    minutes: float = Field(description="time allowed")
    seconds: float = Field(0.0, description="time taken")
    device: dict[str, str | int | float] = Field(description="name, memory, driver and the like")
    versions: dict[str, str]
    setting: dict[str, Any] = Field(description="sizes under which the figures hold")
    parts: list[Part] = Field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """What must not be, of all parts."""
        return [line for part in self.parts for line in part.wrong]

    def settings(self) -> dict[str, Any]:
        """Return the part of a sweep file that the figures recommend."""
        merged: dict[str, Any] = {}
        for part in self.parts:
            for section, keys in part.settings.items():
                merged.setdefault(section, {}).update(keys)
        return merged
