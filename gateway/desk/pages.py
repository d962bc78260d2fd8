"""The pages of the desk as one WSGI application. It answers also when gates or database are down (ACC-03)."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader

from gateway.board import serving
from gateway.desk import metrics
from gateway.domain.errors import KuradoError, Unavailable
from gateway.service.health import ERROR
from gateway.service.services import Services

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Answer = tuple[str, str, str]
"""Status line, content type, body."""

HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
_SAFE = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
]

log = logging.getLogger("kurado.desk")


class Desk:
    """Routes by path; only GET and HEAD."""

    def __init__(self, services: Services, *, demo: bool = False) -> None:
        self._services = services
        self._demo = demo
        self._version = version("kurado")
        environment = Environment(loader=PackageLoader("gateway.desk"), autoescape=True)
        self._overview_page = environment.get_template("overview.html")
        self._routes: dict[str, Callable[[], Answer]] = {
            "/": self._overview,
            "/healthz": lambda: ("200 OK", TEXT, "ok\n"),
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if serving.is_board(environ.get("PATH_INFO") or ""):
            return self._board(environ, start_response)
        status, content_type, text = self._answer(environ)
        body = text.encode()
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body))), *_SAFE]
        if status.startswith("405"):
            headers.append(("Allow", "GET, HEAD"))
        start_response(status, headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _board(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """The public board, also when the database is away."""
        file = self._services.board.served.read(environ["PATH_INFO"])
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            file = serving.File(405, body=b"only GET and HEAD\n")
        headers = [("Content-Type", file.content_type), ("Content-Length", str(len(file.body)))]
        headers += list(serving.HEADERS.items()) + ([("Location", file.location)] if file.location else [])
        start_response(f"{file.status} {HTTPStatus(file.status).phrase}", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else file.body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        route = self._routes.get(environ.get("PATH_INFO") or "/")
        if route is None:
            return "404 Not Found", TEXT, "no such page\n"
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return "405 Method Not Allowed", TEXT, "only GET and HEAD\n"
        try:
            return route()
        except Unavailable as error:
            return "503 Service Unavailable", TEXT, f"{error.message}\n"
        except Exception:
            log.exception("page failed", extra={"page": environ.get("PATH_INFO")})
            return "500 Internal Server Error", TEXT, "this page failed, see the log\n"

    def _readyz(self) -> Answer:
        facts = self._services.health.ready()
        ready = all(fact.level != ERROR for fact in facts)
        body = {
            "ready": ready,
            "facts": [{"name": fact.name, "level": fact.level, "message": fact.message} for fact in facts],
        }
        return "200 OK" if ready else "503 Service Unavailable", JSON, json.dumps(body) + "\n"

    def _metrics(self) -> Answer:
        return "200 OK", metrics.CONTENT_TYPE, metrics.render(self._services, self._version)

    # -- the overview -------------------------------------------------------------------------------------------------

    def _overview(self) -> Answer:
        trouble, facts, alarms, tenants = "", [], [], []
        try:
            facts, alarms, tenants = self._facts(), self._services.health.alarms(), self._tenants()
        except KuradoError as error:
            trouble = error.message
        now = self._services.clock() / 1000
        text = self._overview_page.render(
            version=self._version,
            now=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)),
            demo=self._demo,
            trouble=trouble,
            facts=facts,
            alarms=alarms,
            tenants=tenants,
        )
        return "200 OK", HTML, text

    def _facts(self) -> list[dict[str, Any]]:
        now = self._services.clock()
        return [
            {"name": fact.name, "level": fact.level, "message": fact.message, "age": max(0, now - at) // 1000}
            for fact, at in self._services.health.stored()
        ]

    def _tenants(self) -> list[dict[str, Any]]:
        rows = []
        for tenant in self._services.db.read(lambda tx: tx.tenants.all()):
            limit = self._services.host.limits(tenant).bytes
            rows.append(
                {
                    "name": tenant.name,
                    "plan": tenant.plan,
                    "state": str(tenant.state),
                    "files": tenant.used_files,
                    "used": human_bytes(tenant.used_bytes),
                    "quota": "unlimited" if limit is None else human_bytes(limit),
                    "share": min(1.0, tenant.used_bytes / limit) if limit else None,
                }
            )
        return rows


def human_bytes(size: int) -> str:
    """A size for people, in powers of 1024 (D-23): 1.5 GiB."""
    value, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"
