"""Fields of HTTP that every protocol writes alike: entity tags and dates (RFC 9110 sections 5.6.7 and 8.8.3)."""

from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime

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


def parse_date(value: str | None) -> int | None:
    """An HTTP date in ms UTC; None where absent or unreadable (RFC 9110 section 13.1.3: to be ignored then)."""
    if value is None:
        return None
    try:
        parsed = email.utils.parsedate_to_datetime(value)
        return int(parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp()) * 1000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def http_date(at: int) -> str:
    """A time in ms UTC as IMF-fixdate; what no date can say becomes the epoch."""
    try:
        return email.utils.formatdate(at // 1000, usegmt=True)
    except (ValueError, OverflowError, OSError):
        return email.utils.formatdate(0, usegmt=True)


def iso_date(at: int) -> str:
    """A time in ms UTC as RFC 3339 with seconds, as DAV:creationdate wants it."""
    try:
        return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00Z"
