"""The settings of virus_scan in gateway.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from gateway.domain.fields import Fields, integer, one_of, text
from gateway.domain.units import parse_duration, parse_size
from gateway.domain.upload import Outcome
from gateway.hooks import PluginContext
from plugins._archives import ArchiveLimits
from plugins._clamd import Deadlines, Endpoint

NAME = "virus_scan"
_OUTCOMES = tuple(str(one) for one in (Outcome.REFUSE, Outcome.HOLD, Outcome.MARK))
N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """``too_large``, ``encrypted``, ``bomb``: refuse, hold or mark what cannot be judged. ``stale``: refuse or hold
    uploads while the definitions are older than ``definition_max_age`` seconds, or only warn; without that setting
    the terms say how old they may be (``av_definition_max_age_hours``)."""

    endpoint: Endpoint
    deadlines: Deadlines
    limits: ArchiveLimits
    lines: int
    too_large: Outcome
    encrypted: Outcome
    bomb: Outcome
    stale: str
    definition_max_age: float | None
    rescan_every: float
    prove_every: float

    @property
    def max_size(self) -> int:
        return self.limits.member


def read_settings(context: PluginContext) -> ScanSettings:
    """Reads the plugin's keys; ValueError names a bad one."""
    if context.on_error not in _OUTCOMES:
        raise ValueError(f"on_error: {context.on_error!r} is not one of refuse, hold, mark")
    if context.on_error == Outcome.MARK and not context.demo:
        raise ValueError("on_error: mark lets unscanned content in and needs demo: true")
    keys = Fields(context.settings)
    usual = ArchiveLimits()
    settings = ScanSettings(
        endpoint=keys.take("address", lambda value: Endpoint.parse(text(value)), Endpoint()),
        deadlines=Deadlines(
            connect=keys.take("connect_timeout", _seconds, 5.0),
            silence=keys.take("silence_timeout", _seconds, 15.0),
            scan=keys.take("scan_timeout", _seconds, 120.0),
        ),
        limits=ArchiveLimits(
            member=keys.take("max_size", _size, usual.member),
            expanded=keys.take("max_expanded", _size, usual.expanded),
            depth=keys.take("max_depth", integer(1, 100), usual.depth),
            entries=keys.take("max_entries", integer(1, 1_000_000), usual.entries),
            ratio=float(keys.take("bomb_ratio", integer(1, 1_000_000), int(usual.ratio))),
        ),
        lines=keys.take("connections", integer(1, 1000), 8),
        too_large=keys.take("too_large", _outcome, Outcome.MARK),
        encrypted=keys.take("encrypted", _outcome, Outcome.MARK),
        bomb=keys.take("bomb", _outcome, Outcome.REFUSE),
        stale=keys.take("stale", one_of("refuse", "hold", "warn"), "refuse"),
        definition_max_age=keys.take("definition_max_age", _seconds, None),
        rescan_every=keys.take("rescan_every", _seconds, 30.0),
        prove_every=keys.take("prove_every", _seconds, 6 * 3600.0),
    )
    keys.done()
    return settings


def _outcome(value: object) -> Outcome:
    return Outcome(one_of(*_OUTCOMES)(value))


def _size(value: object) -> int:
    return _positive(value, parse_size(value))


def _seconds(value: object) -> float:
    return _positive(value, parse_duration(value))


def _positive(value: object, number: N) -> N:
    if number <= 0:
        raise ValueError(f"{value!r} is not above zero")
    return number
