"""The board as files: pages in both languages, Atom feeds (RFC 4287), and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from jinja2 import Environment, PackageLoader

from gateway.board.model import Board, Entry
from gateway.board.words import LANGUAGES, PAGE, PHASES, STATES, pick
from gateway.domain.calendar import JST

RECENT_MS = 30 * 86_400_000
FEED_ENTRIES = 100
PAGES = {"ja": ("index.html", "history.html", "feed.xml"), "en": ("en.html", "history.en.html", "feed.en.xml")}
"""Language → page, history, feed."""

JSON_FILE = "status.json"
_WEEKDAYS = ("月火水木金土日", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Site:
    """``url`` ends in a slash, or is empty; ``token`` makes the feed's ids those of this installation."""

    url: str
    title_ja: str
    title_en: str
    token: str

    def title(self, language: str) -> str:
        return self.title_ja if language == "ja" else self.title_en


class Pages:
    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("gateway.board"), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )

    def render(self, board: Board, site: Site, now: int) -> dict[str, bytes]:
        """File name → content; the page that people open is the last."""
        files = {JSON_FILE: _json(board, site, now)}
        for language in reversed(LANGUAGES):
            page, history, feed = PAGES[language]
            files[feed] = _feed(board, site, language, now).encode()
            files[history] = self._page("history.html", board, site, language, now)
            files[page] = self._page("board.html", board, site, language, now)
        return files

    def _page(self, template: str, board: Board, site: Site, language: str, now: int) -> bytes:
        which = LANGUAGES.index(language)
        other = LANGUAGES[1 - which]
        names = {"here": PAGES[language], "there": PAGES[other]}

        def shown(entries: Sequence[Entry]) -> list[dict[str, Any]]:
            return [_shown(one, language) for one in entries]

        over = board.of_phase("over")
        text = self._environment.get_template(template).render(
            language=language,
            other=other,
            names=names,
            title=site.title(language),
            state=board.state,
            state_text=STATES[board.state][which],
            words={key: pair[which] for key, pair in PAGE.items()},
            standing=shown(board.standing),
            ahead=shown(board.ahead),
            news=shown(board.of_phase("news")),
            recent=shown([one for one in over if now - max(one.end or 0, one.updated_at) < RECENT_MS]),
            over=shown(over),
            written=_stamp(now, language),
            written_iso=_iso(now),
        )
        return text.encode()


def _shown(one: Entry, language: str) -> dict[str, Any]:
    which = LANGUAGES.index(language)
    is_incident = one.kind in ("incident", "partial")
    times: list[tuple[str, str, int | None]] = []
    if one.start is not None:
        times.append((PAGE["recognised" if is_incident else "from"][which], _stamp(one.start, language), one.start))
        label = PAGE["recovered" if is_incident else "to"][which]
        ending = PAGE["open_end"][which] if one.end is None else _stamp(one.end, language)
        times.append((label, ending, one.end))
    facts = [(PAGE[key][which], _fact(key, pair[which], language)) for key, pair in one.facts]
    if one.limited:
        facts.insert(0, (PAGE["scope"][which], PAGE["some"][which]))
    return {
        "anchor": anchor(one),
        "kind": one.kind,
        "phase": one.phase,
        "phase_text": PHASES[one.phase][which],
        "title": one.title[which],
        "number": "" if one.phase == "news" or one.kind == "regular" else one.id.rpartition("/")[2],
        "times": [(label, text, _iso(at) if at is not None else "") for label, text, at in times],
        "facts": facts,
        "paragraphs": [part for part in one.text[which].split("\n\n") if part.strip()],
        "published": _stamp(one.published_at, language),
        "published_iso": _iso(one.published_at),
        "course": [(_stamp(step.at, language), _iso(step.at), step.what[which]) for step in one.course],
    }


def anchor(one: Entry) -> str:
    """The id of an entry within a page."""
    return one.id.replace("/", "-")


def _fact(key: str, text: str, language: str) -> str:
    if key not in ("effective", "last_day"):
        return text
    try:
        return _day(date.fromisoformat(text), language)
    except ValueError:
        return text


def _day(day: date, language: str) -> str:
    if language == "ja":
        return f"{day.year}年{day.month}月{day.day}日（{_WEEKDAYS[0][day.weekday()]}）"
    return f"{_WEEKDAYS[1][day.weekday()]} {day.day} {_MONTHS[day.month - 1]} {day.year}"


def _stamp(at: int, language: str) -> str:
    moment = datetime.fromtimestamp(at // 1000, UTC).astimezone(JST)
    return f"{_day(moment.date(), language)}{' ' if language == 'ja' else ', '}{moment:%H:%M}"


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- Atom -------------------------------------------------------------------------------------------------------------


def changed_at(one: Entry, now: int) -> int:
    """When an entry was last another one than before: by an act, or because it began or ended."""
    return max(one.updated_at, *(at for at in (one.start, one.end) if at is not None and at <= now), 0)


def _feed(board: Board, site: Site, language: str, now: int) -> str:
    page, _, feed = PAGES[language]
    newest = sorted(board.entries, key=lambda one: (changed_at(one, now), one.id), reverse=True)[:FEED_ENTRIES]
    updated = changed_at(newest[0], now) if newest else 0
    base = f"urn:kurado:{site.token}"
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="{language}">',
        f"<id>{base}:{language}</id>",
        f"<title>{escape(site.title(language))}</title>",
        f"<updated>{_iso(updated)}</updated>",
        f"<author><name>{escape(site.title(language))}</name></author>",
        f'<link rel="self" type="application/atom+xml" href={quoteattr(site.url + feed)}/>',
        f'<link rel="alternate" type="text/html" href={quoteattr(site.url + page)}/>',
        *(_feed_entry(one, site, language, base, now) for one in newest),
        "</feed>",
    ]
    return "\n".join(lines) + "\n"


def _feed_entry(one: Entry, site: Site, language: str, base: str, now: int) -> str:
    shown = _shown(one, language)
    title = f"{shown['title']} {shown['number']}".strip()
    if one.phase != "news":
        title += f" – {shown['phase_text']}"
        title += f": {shown['times'][0][1]}" if shown["times"] else ""
    lines = [f"{label}: {text}" for label, text, _ in shown["times"]]
    lines += [f"{label}: {text}" for label, text in shown["facts"]]
    content = "".join(f"<p>{escape(line)}</p>" for line in [*shown["paragraphs"], *lines])
    content += "".join(f"<p>{escape(stamp)} {escape(what)}</p>" for stamp, _, what in shown["course"])
    href = f"{site.url}{PAGES[language][0 if one.phase != 'over' else 1]}#{anchor(one)}"
    return (
        f"<entry><id>{base}:{escape(one.id)}:{language}</id><title>{escape(title)}</title>"
        f"<published>{_iso(one.published_at)}</published><updated>{_iso(changed_at(one, now))}</updated>"
        f'<link rel="alternate" type="text/html" href={quoteattr(href)}/>'
        f'<content type="html">{escape(content)}</content></entry>'
    )


# -- JSON -------------------------------------------------------------------------------------------------------------


def _json(board: Board, site: Site, now: int) -> bytes:
    content: Mapping[str, Any] = {
        "version": 1,
        "title": {"ja": site.title_ja, "en": site.title_en},
        "written_at": _iso(now),
        "state": board.state,
        "state_text": dict(zip(LANGUAGES, STATES[board.state], strict=True)),
        "entries": [_json_entry(one) for one in board.entries],
    }
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _json_entry(one: Entry) -> dict[str, Any]:
    def both(pair: tuple[str, str]) -> dict[str, str]:
        return {language: pick(pair, language) for language in LANGUAGES}

    return {
        "id": one.id,
        "kind": one.kind,
        "phase": one.phase,
        "title": both(one.title),
        "text": both(one.text),
        "limited": one.limited,
        "from": None if one.start is None else _iso(one.start),
        "to": None if one.end is None else _iso(one.end),
        "published_at": _iso(one.published_at),
        "updated_at": _iso(one.updated_at),
        "facts": {key: both(pair) for key, pair in one.facts},
        "course": [{"at": _iso(step.at), "what": both(step.what)} for step in one.course],
    }
