"""The entry point: a fault of the program is one line, and its traceback is there for who asks."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import cli


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_words: Any) -> None:
        raise KeyError("within")

    monkeypatch.setattr(cli.cli, "main", fails)


@pytest.mark.usefixtures("fault")
def test_a_fault_of_the_program_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith("kurado: a fault of this program: KeyError: 'within'")
    assert "Traceback" not in printed
    assert cli.TRACE in printed


@pytest.mark.usefixtures("fault")
def test_a_fault_shows_its_place_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cli.TRACE, "1")
    with pytest.raises(KeyError):
        cli.main()
