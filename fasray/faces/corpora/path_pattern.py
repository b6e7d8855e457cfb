"""Patterns of paths, such as ``{domain}/{label}/{subject}_*.jpg``: which part of a path says what.

==================  =========================================================================================
``{field}``         one character or more, none of them a slash; a field that comes twice must be the same twice
``{field:REGEX}``   the same, of a form: ``{subject:[^_]+}`` ends at the first underscore
``{field=VALUE}``   nothing in the path: the field has this value for every file of the pattern
``{frame}``         digits
``*``               any characters but a slash, or none
``**``              any characters; ``**/`` is any number of folders, or none
==================  =========================================================================================

All else is literal. Accents are the same in both Unicode forms, and the case of an ending (``.jpg``) is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fasray.errors import DataError, SpecError, did_you_mean
from fasray.names import canonical, printable

FIELDS = (
    "domain", "label", "attack_type", "instrument", "subject", "session", "camera", "split", "video", "frame",
    "ethnicity", "sex", "age_group", "modality",
)  # fmt: skip
_TOKENS = re.compile(r"\{(?P<field>[^{}]*)\}|(?P<folders>\*\*/)|(?P<deep>\*\*)|(?P<star>\*)|(?P<text>[^*{}]+)")
_ENDING = re.compile(r"\.[^./]+\Z")
_WHERE = "--pattern"


@dataclass(frozen=True)
class Reading:
    """What one pattern says of one path."""

    values: Mapping[str, str]
    """Field -> value; of the fields in the pattern alone."""
    frame: tuple[int, int] | None
    """Where in the path the number of the frame is; None without one."""


class PathPattern:
    """One pattern.

    Args:
        text: see the module.

    Raises:
        SpecError: it is not a pattern: an unknown field, a brace without its partner, a wrong expression.
    """

    def __init__(self, text: str) -> None:
        self.text = canonical(text.removeprefix("./"))
        if not self.text or self.text.startswith("/") or "\\" in re.sub(r"\{[^{}]*\}", "", self.text):
            raise SpecError(
                f"{text!r} is not a pattern of paths", where=_WHERE,
                remedy="write it relative to SRC, with forward slashes: '{domain}/{label}/{subject}_*.jpg'",
            )  # fmt: skip
        self._constants: dict[str, str] = {}
        self._longest, self._shortest = self._compiled(lazy=""), self._compiled(lazy="?")

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it gives a value."""
        return frozenset(self._longest.groupindex) | frozenset(self._constants)

    def read(self, path: str) -> Reading | None:
        """Return what a path says; None if the pattern does not fit it.

        Raises:
            DataError: it fits in two ways that say different things.
        """
        longest = self._longest.fullmatch(path)
        if longest is None:
            return None
        shortest = self._shortest.fullmatch(path)
        assert shortest is not None  # noqa: S101 - the two differ in order alone
        if longest.groupdict() != shortest.groupdict():
            name = next(name for name, value in longest.groupdict().items() if value != shortest[name])
            raise DataError(
                f"{self.text!r} fits {printable(path)} in two ways: {name} may be {shortest[name]!r} or "
                f"{longest[name]!r}",
                where=_WHERE,
                remedy=f"say what a value looks like, such as {{{name}:[^_]+}} for one without an underscore",
            )
        frame = longest.span("frame") if "frame" in self._longest.groupindex else None
        return Reading(longest.groupdict() | self._constants, frame)

    def _compiled(self, lazy: str) -> re.Pattern[str]:
        """Return the regular expression whose fields and stars are as long as can be, or with ``?`` as short."""
        parts, at, seen = [], 0, set[str]()
        while at < len(self.text):
            token = _TOKENS.match(self.text, at)
            if token is None:
                raise SpecError(f"{self.text!r} has a brace without its partner", where=_WHERE)
            at = token.end()
            if token["field"] is not None:
                parts.append(self._field(token["field"], lazy, seen))
            elif token["text"] is not None:
                parts.append(_literal(token["text"], last=at == len(self.text)))
            elif token["folders"]:
                parts.append(f"(?:.*{lazy}/)?{lazy}")
            else:
                parts.append(f"{'.' if token['deep'] else '[^/]'}*{lazy}")
        return re.compile("".join(parts), re.DOTALL)

    def _field(self, text: str, lazy: str, seen: set[str]) -> str:
        name, sign, rest = next((text.partition(mark) for mark in re.findall("[:=]", text)), (text, "", ""))
        if name not in FIELDS:
            what = f"unknown field {{{text}}} in the pattern {self.text!r}"
            raise SpecError(what, where=_WHERE, remedy=did_you_mean(name, FIELDS))
        if sign == "=":
            self._constants[name] = rest
            return ""
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        form = rest if sign else r"(?<!\d)\d+(?!\d)" if name == "frame" else f"[^/]+{lazy}"
        try:
            if re.compile(form).groups:
                raise SpecError(f"{{{text}}} has a group", where=_WHERE, remedy="write (?:...) for (...)")
        except re.error as error:
            raise SpecError(f"{{{text}}} is not a regular expression: {error}", where=_WHERE) from error
        return f"(?P<{name}>{form})"


def _literal(text: str, *, last: bool) -> str:
    """Return the expression of literal text; at the end of a pattern, the case of an ending is ignored."""
    ending = _ENDING.search(text) if last else None
    at = ending.start() if ending else len(text)
    return re.escape(text[:at]) + (f"(?i:{re.escape(text[at:])})" if ending else "")
