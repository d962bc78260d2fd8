"""third_parties: the health of services of others on which parts of this one run (RULES EXT-02, D-58).

Setting ``services``: a list of ``{name, url}``. Each is asked by GET; one that does not answer with a status below 400
in time is bad. What stays bad becomes the draft of an incident of that part: a fault of theirs is the provider's unless
evidence is recorded for another cause, and never a stop of the whole service.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway.domain.fields import Fields
from gateway.hooks import EXTERNAL, HealthFact, PluginContext, hookimpl

_SECONDS = 4.0  # a health check answers within 5 s
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ThirdParty:
    name: str
    url: str


def create(context: PluginContext) -> ThirdParties:
    """The entry point. ValueError for bad settings."""
    keys = Fields(context.settings)
    services = keys.take("services", _services)
    keys.done()
    return ThirdParties(services)


def _services(value: object) -> tuple[ThirdParty, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("a list of {name, url} is needed")
    found = tuple(_service(one) for one in value)
    if len({one.name for one in found}) < len(found):
        raise ValueError("each service has a name of its own")
    return found


def _service(value: Any) -> ThirdParty:
    if not isinstance(value, dict) or set(value) != {"name", "url"}:
        raise ValueError(f"{value!r} is no {{name, url}}")
    name, url = value["name"], value["url"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r}: a name has small letters, digits and hyphens, 32 at most")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise ValueError(f"{url!r} is no address: https://…")
    return ThirdParty(name, url)


class ThirdParties:
    def __init__(self, services: tuple[ThirdParty, ...]) -> None:
        self._services = services

    @hookimpl
    def register_health(self) -> Iterable[Callable[[], HealthFact]]:
        return [lambda one=one: _fact(one) for one in self._services]  # type: ignore[misc]


def _fact(one: ThirdParty) -> HealthFact:
    """The address is not told: it may hold a key."""
    try:
        with urllib.request.urlopen(one.url, timeout=_SECONDS) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        error.close()
        return HealthFact(EXTERNAL + one.name, "error", f"it answers {error.code}", 0)
    except (OSError, ValueError) as error:
        return HealthFact(EXTERNAL + one.name, "error", f"it does not answer: {type(error).__name__}", 0)
    return HealthFact(EXTERNAL + one.name, "ok", "it answers", 1)
