"""The desk's pages over a real deployment, called as WSGI."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from gateway.desk.pages import Desk, human_bytes
from gateway.hooks import TrafficSample
from gateway.testing.space import Space, open_space
from gateway.testing.waiting import until


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=["quota", "metering"], quota_bytes=10_000) as opened:
        opened.put("a", b"x" * 1234)
        yield opened


def get(space: Space, path: str, method: str = "GET") -> tuple[str, dict[str, str], str]:
    environ: dict[str, object] = {}
    setup_testing_defaults(environ)
    environ |= {"PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": ""}
    seen: list[tuple[str, dict[str, str]]] = []
    app = validator(Desk(space.services))
    body = app(environ, lambda status, headers, exc_info=None: seen.append((status, dict(headers))))
    text = b"".join(body).decode()
    body.close()  # type: ignore[attr-defined]
    return *seen[0], text


def samples(text: str) -> dict[str, float]:
    """The samples of a Prometheus page; every line must be well-formed."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r'([a-z_][a-z0-9_]*(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})?) (-?[0-9.e+-]+)', line)
            assert match, line
            assert match[1] not in found, line
            found[match[1]] = float(match[2])
    return found


def test_metrics_show_each_tenant_its_use_and_its_traffic(space: Space) -> None:
    sample = TrafficSample("b" * 12, 1, space.caller.tenant.id, space.clock(), 1234, 99, 1, {"write": 1, "read": 2})
    space.services.db.write(lambda tx: space.services.host.traffic([sample], tx.usage)).result()
    status, headers, text = get(space, "/metrics")
    assert status == "200 OK"
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = samples(text)
    assert found['kurado_used_bytes{tenant="studio"}'] == 1234
    assert found['kurado_used_files{tenant="studio"}'] == 1
    assert found['kurado_quota_bytes{tenant="studio"}'] == 10_000
    assert found['kurado_received_bytes_total{tenant="studio"}'] == 1234
    assert found['kurado_sent_bytes_total{tenant="studio"}'] == 99
    assert found['kurado_refusals_total{tenant="studio"}'] == 1
    assert found['kurado_requests_total{tenant="studio",class="read"}'] == 2
    assert found['kurado_processes{role="gate"}'] == 1


def test_the_age_of_the_outbox_grows_while_nothing_is_delivered(space: Space) -> None:
    space.clock.forward(90)
    found = samples(get(space, "/metrics")[2])
    assert found['kurado_outbox_age_seconds{subscriber="metering"}'] >= 90
    assert found['kurado_outbox_events{subscriber="metering"}'] > 0


def test_health_facts_become_metrics_with_their_age(space: Space) -> None:
    space.services.health.store_facts()
    space.clock.forward(5)
    found = samples(get(space, "/metrics")[2])
    assert found['kurado_health{fact="database"}'] == 0
    assert found['kurado_health_age_seconds{fact="database"}'] == 5
    assert found["kurado_disk"] > 0


def test_ready_means_database_storage_and_a_live_gate(space: Space) -> None:
    status, _, text = get(space, "/readyz")
    assert (status, json.loads(text)["ready"]) == ("200 OK", True)
    space.clock.forward(60)
    status, _, text = get(space, "/readyz")
    assert (status, json.loads(text)["ready"]) == ("503 Service Unavailable", False)
    assert get(space, "/healthz")[0] == "200 OK"


def test_the_overview_shows_tenants_facts_and_alarms_and_escapes_them(space: Space) -> None:
    space.services.health.store_facts()
    now = space.clock()
    space.services.db.write(lambda tx: tx.system.alarm("test", "<b>subject</b>", "it <i>burns</i>", now)).result()
    status, headers, text = get(space, "/")
    assert status == "200 OK"
    assert "studio" in text and "1.2 KiB" in text
    assert "&lt;i&gt;burns" in text and "<i>" not in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_the_overview_answers_without_a_database(space: Space) -> None:
    (space.deployment.data_dir / "kurado.db").unlink()
    until(lambda: 'class="error"' in get(space, "/")[2])
    assert get(space, "/")[0] == "200 OK"
    assert get(space, "/readyz")[0].startswith("503")
    assert get(space, "/metrics")[0].startswith("503")
    assert get(space, "/healthz")[0].startswith("200")


def test_other_pages_and_verbs_are_refused(space: Space) -> None:
    assert get(space, "/../etc/passwd")[0].startswith("404")
    assert get(space, "/", "POST")[0].startswith("405")
    assert get(space, "/healthz", "HEAD")[2] == ""


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1024**3, "1.0 GiB"), (1024**5, "1024.0 TiB")]
)
def test_sizes_are_shown_in_powers_of_1024(size: int, text: str) -> None:
    assert human_bytes(size) == text
