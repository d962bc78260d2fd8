"""Operator logs: JSON lines, no secret, no file name (RULES PRV-06)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from gateway import logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("info", role="gate", boot_id="abc", mask_key=b"key", stream=stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)


def parsed(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_is_an_object_that_names_process_and_fields(lines: io.StringIO) -> None:
    logging.getLogger("kurado.test").warning("text", extra={"tenant": "studio", "ms": 3})
    (line,) = parsed(lines)
    assert (line["message"], line["role"], line["boot"], line["tenant"], line["ms"]) == (
        "text", "gate", "abc", "studio", 3,
    )  # fmt: skip


def test_an_access_line_does_not_hold_the_names_of_files(lines: io.StringIO) -> None:
    for name in ("secret-plan.pdf", "other.pdf"):
        logs.access(
            request_id="r1", tenant="studio", user="ann", verb="PUT", path=("folder", name), status=201, bytes_in=5,
            bytes_out=0, ms=1.26, remote="127.0.0.1",
        )  # fmt: skip
    first, second = parsed(lines)
    assert "secret-plan" not in lines.getvalue()
    assert first["path"].split("/")[1] == second["path"].split("/")[1]
    assert first["path"].split("/")[2] != second["path"].split("/")[2]
    assert first["ms"] == 1.3


def test_another_installation_masks_the_same_name_otherwise(lines: io.StringIO) -> None:
    here = logs.mask_name("plan.pdf")
    logs.configure(mask_key=b"other", stream=lines)
    assert logs.mask_name("plan.pdf") != here


@pytest.mark.parametrize("field", ["password", "new_password", "Authorization", "lock_token", "cookie"])
def test_secrets_are_masked_by_the_name_of_their_field(lines: io.StringIO, field: str) -> None:
    logging.getLogger("kurado.test").warning("text", extra={field: "hunter2"})
    assert "hunter2" not in lines.getvalue()


def test_a_multi_line_trace_stays_one_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("kurado.test").exception("failed")
    (line,) = parsed(lines)
    assert "ValueError" in line["trace"]
