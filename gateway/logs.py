"""Structured logs: one JSON object a line on stderr.

Operator logs never hold a password, a token or file content, and file names are masked (RULES PRV-06): what a customer
named after login is the customer's data. A mask is stable within one installation, so that lines about the same file
can be put together without knowing its name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

ROOT = "kurado"
ACCESS = "kurado.access"
_SECRET_WORDS = ("password", "passwd", "secret", "authorization", "token", "cookie")
_MASKED = "***"
_PLAIN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "taskName"}

_mask_key = b""


def configure(
    level: str = "info", *, role: str = "", boot_id: str = "", mask_key: bytes = b"", stream: TextIO | None = None
) -> None:
    """Sends all logs of this process to ``stream`` (stderr) as JSON lines that name role and boot id."""
    global _mask_key
    _mask_key = mask_key
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines({"role": role, "boot": boot_id}))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT).setLevel(level.upper())
    logging.captureWarnings(True)


class JsonLines(logging.Formatter):
    """Renders a record and what was given as ``extra`` as one JSON object; secrets by their field name are masked."""

    def __init__(self, constant: Mapping[str, str]) -> None:
        super().__init__()
        self._constant = {key: value for key, value in constant.items() if value}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **self._constant,
            "message": record.getMessage(),
        }
        line.update({key: _clean(key, value) for key, value in record.__dict__.items() if key not in _PLAIN})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _clean(key: str, value: Any) -> Any:
    return _MASKED if any(word in key.lower() for word in _SECRET_WORDS) else value


def mask(path: Sequence[str]) -> str:
    """A path for operators: each name replaced by eight hex digits that are the same for the same name."""
    return "/" + "/".join(mask_name(name) for name in path)


def mask_name(name: str) -> str:
    """Eight hex digits for a name, keyed by this installation so that guessing names does not confirm them."""
    return hmac.new(_mask_key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:8]


def access(
    *,
    request_id: str,
    tenant: str,
    user: str,
    verb: str,
    path: Sequence[str],
    status: int,
    bytes_in: int,
    bytes_out: int,
    ms: float,
    remote: str,
) -> None:
    """One line a request, for gates whose ``log.requests`` is on."""
    logging.getLogger(ACCESS).info(
        "request",
        extra={
            "request_id": request_id,
            "tenant": tenant,
            "user": user,
            "verb": verb,
            "path": mask(path),
            "status": status,
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
            "ms": round(ms, 1),
            "remote": remote,
        },
    )


def fingerprint(key: bytes) -> str:
    """Eight hex digits that name a key without telling it."""
    return hashlib.sha256(key).hexdigest()[:8]
