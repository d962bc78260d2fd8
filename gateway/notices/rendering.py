"""Texts from templates: ``templates/LANGUAGE/KIND.txt``, an operator's folder before ours.

A template is ``Subject: …``, an empty line, and the body; ``frame.txt`` puts the salutation before and the signature
after it. Both are Jinja2. What was sent can be made again from the very templates it was made from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.domain.calendar import JST
from gateway.domain.notice_kinds import KINDS
from gateway.notices.words import CHOICES, MONTHS, WEEKDAYS
from gateway.service.notices.ports import Rendered

LANGUAGES = ("ja", "en")
FRAME = "frame"
_SEPARATOR = "\n%%%%\n"
"""Between frame and template in the kept source."""


class TemplateFault(ValueError):
    """A template that cannot be used: which, and why."""


class Templates:
    """``folder`` holds an operator's own templates: ``ja/outage.txt`` replaces ours of that name."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def render(self, kind: str, language: str, values: Mapping[str, Any]) -> Rendered:
        """TemplateFault when a template is missing or cannot be rendered with these values."""
        source = self._read(language, FRAME) + _SEPARATOR + self._read(language, kind)
        return self.render_source(source, language, values)

    def render_source(self, source: str, language: str, values: Mapping[str, Any]) -> Rendered:
        """The text from a frame and a template as they were kept."""
        frame, _, template = source.partition(_SEPARATOR)
        head, _, body = template.partition("\n\n")
        if not head.startswith("Subject:"):
            raise TemplateFault("a template begins with `Subject: …` and an empty line")
        subject = _rendered(head.removeprefix("Subject:").strip(), language, values)
        inner = _rendered(body.strip("\n"), language, values)
        text = _rendered(frame, language, {**values, "body": inner})
        version = hashlib.sha256(source.encode()).hexdigest()[:16]
        return Rendered(" ".join(subject.split()), text.strip("\n") + "\n", version, source)

    def check(self) -> None:
        """Renders every kind with its sample. TemplateFault names the file; also for a file that is no kind of ours."""
        for language in LANGUAGES:
            for kind in KINDS.values():
                try:
                    self.render(kind.name, language, {**_COMMON, **kind.sample})
                except TemplateFault as error:
                    raise TemplateFault(f"{self._where(language, kind.name)}: {error}") from error
        self._check_names()

    def _check_names(self) -> None:
        if self._folder is None:
            return
        known = {f"{language}/{name}.txt" for language in LANGUAGES for name in (*KINDS, FRAME)}
        for file in sorted(self._folder.glob("*/*.txt")):
            name = file.relative_to(self._folder).as_posix()
            if name not in known:
                raise TemplateFault(f"{file}: there is no notice of this name; they are {', '.join(KINDS)}")

    def _read(self, language: str, name: str) -> str:
        own = self._folder / language / f"{name}.txt" if self._folder else None
        try:
            if own is not None and own.is_file():
                return own.read_text("utf-8").replace("\r\n", "\n")
            return files("gateway.notices").joinpath("templates", language, f"{name}.txt").read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateFault(f"{self._where(language, name)}: {error}") from error

    def _where(self, language: str, name: str) -> str:
        own = self._folder / language / f"{name}.txt" if self._folder else None
        return str(own) if own is not None and own.is_file() else f"templates/{language}/{name}.txt"


_COMMON = {
    "notice": "1.acme",
    "contract": "acme",
    "customer": "株式会社アクメ",
    "contact": "青木",
    "sender": "蔵戸",
    "signature": "蔵戸 運用部",
    "board_url": "https://status.example.com/",
}


def _rendered(template: str, language: str, values: Mapping[str, Any]) -> str:
    try:
        return _compiled(template, language).render(values)
    except (TemplateError, TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise TemplateFault(f"{type(error).__name__}: {error}") from error


@lru_cache(256)
def _compiled(template: str, language: str) -> Template:
    return _ENVIRONMENTS[language].from_string(template)


def _environment(language: str) -> ImmutableSandboxedEnvironment:
    found = ImmutableSandboxedEnvironment(
        autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters.update(
        day=lambda value: format_day(value, language),
        time=lambda at: format_time(at, language),
        yen=lambda amount: f"{amount:,}円" if language == "ja" else f"JPY {amount:,}",
        size=format_size,
        word=lambda word, choice: CHOICES[language][choice].get(str(word), str(word)),
    )
    return found


def format_day(value: str | date, language: str) -> str:
    """2027年4月5日（月）, Monday, 5 April 2027."""
    day = date.fromisoformat(value) if isinstance(value, str) else value
    weekday = WEEKDAYS[language][day.weekday()]
    if language == "ja":
        return f"{day.year}年{day.month}月{day.day}日（{weekday}）"
    return f"{weekday}, {day.day} {MONTHS[day.month - 1]} {day.year}"


def format_time(at: int, language: str) -> str:
    """2027年4月5日（月）02:00, Monday, 5 April 2027, 02:00 JST: always the time of Japan."""
    moment = datetime.fromtimestamp(at // 1000, UTC).astimezone(JST)
    clock = f"{moment:%H:%M}"
    day = format_day(moment.date(), language)
    return f"{day}{clock}" if language == "ja" else f"{day}, {clock} JST"


def format_size(size: int) -> str:
    """1.5 GB: units of 1024, named as the price list names them (D-23)."""
    value, unit = float(size), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1024 or unit == "TB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"


_ENVIRONMENTS = {language: _environment(language) for language in LANGUAGES}
