"""Health checks: what a check is called that does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gateway.hooks import HealthFact
from gateway.pluginhost.host import HealthCheck
from gateway.service.health import Health


def test_a_check_without_an_answer_is_called_after_its_plugin() -> None:
    def fine() -> HealthFact:
        return HealthFact("fine", "ok", "")

    checks = [HealthCheck(plugin, fine) for plugin in ("virus_scan", "virus_scan", "replication")]
    nothing: Any = None
    host: Any = SimpleNamespace(health_checks=lambda: checks)
    health = Health(nothing, nothing, host, nothing, nothing, nothing, durable=True)
    names = [name for name, _ in health.checks() if name.startswith("plugin.")]
    assert names == ["plugin.virus_scan.1", "plugin.virus_scan.2", "plugin.replication"]
