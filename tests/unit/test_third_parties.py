"""The health of services of others: what each answer of theirs, and each setting, comes to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.hooks import HealthFact
from gateway.testing.inspection import make_context
from plugins.third_parties import ThirdParties, create


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = int(self.path.strip("/") or 200)
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def made(**settings: object) -> ThirdParties:
    return create(make_context("third_parties", Path("/nowhere"), settings))


def facts(*urls: str) -> list[HealthFact]:
    services = [{"name": f"part-{number}", "url": url} for number, url in enumerate(urls)]
    return [check() for check in made(services=services).register_health()]


def test_each_is_asked_and_only_an_answer_below_400_is_good(address: str) -> None:
    found = facts(f"{address}/200", f"{address}/404", f"{address}/503", "http://127.0.0.1:1/")
    assert [(fact.name, fact.level, fact.value) for fact in found] == [
        ("external.part-0", "ok", 1),
        ("external.part-1", "error", 0),
        ("external.part-2", "error", 0),
        ("external.part-3", "error", 0),
    ]
    assert [fact.message for fact in found[1:3]] == ["it answers 404", "it answers 503"]


def test_the_address_may_hold_a_key_and_is_not_told(address: str) -> None:
    assert all("secret" not in fact.message for fact in facts(f"{address}/500?key=secret", "http://127.0.0.1:1/secret"))


@pytest.mark.parametrize(
    "services",
    [
        None, [], "microsoft", [{"name": "a"}], [{"name": "A b", "url": "https://a"}], [{"name": "a", "url": "file:///a"}],
        [{"name": "a", "url": "https://a", "more": 1}], [{"name": "a", "url": "https://a"}] * 2,
    ],
)  # fmt: skip
def test_bad_settings_are_refused(services: object) -> None:
    with pytest.raises(ValueError, match="services"):
        made(services=services)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout"):
        made(services=[{"name": "a", "url": "https://a"}], timeout=3)
