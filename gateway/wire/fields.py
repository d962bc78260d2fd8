"""Fields of HTTP that every protocol writes alike: entity tags and dates (RFC 9110 sections 5.6.7 and 8.8.3)."""

from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime
from functools import lru_cache

from gateway.domain.errors import BadRequest

_TAGS = re.compile(r'\s*(?:,\s*)*((?:W/)?"[^"]*"|[^\s",]+)\s*(?:,|$)')


def parse_etags(values: list[str]) -> tuple[str, ...] | None:
    """Entity tags of a list header. A tag without quotes, which some clients send, is taken as if it had them."""
    if not values:
        return None
    text = ",".join(values).strip()
    if text == "*":
        return ("*",)
    found: list[str] = []
    position = 0
    while position < len(text):
        match = _TAGS.match(text, position)
        if match is None:
            raise BadRequest("a list of entity tags cannot be read")
        tag = match[1]
        found.append(tag if tag.endswith('"') else f'"{tag}"')
        position = match.end()
    return tuple(found)


def field_text(value: str | None, length: int = 255) -> str:
    """A field of a request as text that can be kept, at most ``length`` characters: bytes that are no UTF-8 are read as
    ISO 8859-1, as clients of before meant them (RFC 9110 section 5.5)."""
    text = (value or "")[:length]
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")[:length]
    return text


def parse_date(value: str | None) -> int | None:
    """An HTTP date in ms UTC; None where absent or unreadable (RFC 9110 section 13.1.3: to be ignored then)."""
    if value is None:
        return None
    try:
        parsed = email.utils.parsedate_to_datetime(value)
        return int(parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp()) * 1000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@lru_cache(maxsize=4096)
def http_date(at: int) -> str:
    """A time in ms UTC as IMF-fixdate; what no date can say becomes the epoch."""
    day, second = divmod(at // 1000, _DAY)
    try:
        return f"{_days(day)[0]} {_clock(second)} GMT"
    except _NO_DATE:
        return http_date(0)


def iso_date(at: int) -> str:
    """A time in ms UTC as RFC 3339 with seconds, as DAV:creationdate wants it."""
    day, second = divmod(at // 1000, _DAY)
    try:
        return f"{_days(day)[1]}T{_clock(second)}Z"
    except _NO_DATE:
        return iso_date(0)


# A listing writes two dates an entry: days come again and again, and a clock is three numbers below sixty.
_DAY = 86_400
_NO_DATE = (ValueError, OverflowError, OSError)
_TWO_DIGITS = tuple(f"{number:02d}" for number in range(60))


@lru_cache(maxsize=4096)
def _days(day: int) -> tuple[str, str]:
    """A day since 1970 as it begins an IMF-fixdate, and as RFC 3339 writes it."""
    date = datetime.fromtimestamp(day * _DAY, UTC)
    return email.utils.format_datetime(date, usegmt=True)[:-13], date.strftime("%Y-%m-%d")


def _clock(second: int) -> str:
    minutes, second = divmod(second, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_TWO_DIGITS[hour]}:{_TWO_DIGITS[minute]}:{_TWO_DIGITS[second]}"
