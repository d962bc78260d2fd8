"""The board as the steward writes it: when, how, and what is recorded of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.contract.incidents import IncidentKind
from gateway.service.contracts import Actor
from gateway.service.incidents import Finding, Scope
from gateway.testing.space import Space, open_space

OPERATOR = Actor("aoki")
FILES = {
    "index.html", "history.html", "feed.xml", "en.html", "history.en.html", "feed.en.xml", "status.json",
}  # fmt: skip


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=["contract_state"]) as space:
        yield space


def status(space: Space) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((space.services.board.folder / "status.json").read_text())
    return found


def outage(space: Space) -> str:
    return space.services.incidents.open(OPERATOR, Finding(IncidentKind.OUTAGE, "a disk", Scope())).id


def told(space: Space, incident: str) -> list[tuple[str, str, int]]:
    acts = space.services.incidents.history(incident)
    return [(act.data["what"], act.data["channel"], act.at) for act in acts if act.kind == "incident.notified"]


def test_the_board_is_written_when_something_changes_and_once_a_minute(space: Space) -> None:
    board, index = space.services.board, space.services.board.folder / "index.html"
    board.run()
    assert {file.name for file in board.folder.iterdir()} == FILES
    first = index.stat().st_ino
    space.clock.forward(30)
    board.run()
    assert index.stat().st_ino == first, "nothing changed"
    space.clock.forward(30)
    board.run()
    assert index.stat().st_ino != first
    start = space.clock() + 2000
    space.services.windows.announce(OPERATOR, start, start + 60_000, "disks")
    board.run()
    assert status(space)["entries"][0]["phase"] == "planned"
    space.clock.forward(3)
    board.run()
    assert status(space)["state"] == "maintenance", "time passes without an act"


def test_what_was_published_and_when_is_on_record_once(space: Space) -> None:
    space.services.board.run()
    space.services.windows.announce(OPERATOR, space.clock() + 10**7, space.clock() + 2 * 10**7, "disks")
    for _ in range(3):
        space.clock.forward(61)
        space.services.board.run()
    posts = [act for act in space.services.audit.acts() if act.kind == "board.published"]
    assert [list(act.data["entries"]) for act in posts] == [["maintenance/M1"]]


def test_the_status_site_is_the_notice_of_an_outage_and_of_its_end(space: Space) -> None:
    incident = outage(space)
    space.clock.forward(60)
    space.services.board.run()
    assert told(space, incident) == [("occurrence", "status_site", space.clock())]
    space.clock.forward(600)
    space.services.incidents.recover(OPERATOR, incident)
    space.services.board.run()
    assert told(space, incident)[1:] == [("recovery", "status_site", space.clock())]
    space.clock.forward(61)
    space.services.board.run()
    assert len(told(space, incident)) == 2


def test_a_folder_that_cannot_be_written_is_an_alarm_and_no_notice(space: Space) -> None:
    folder = space.services.board.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file in the way")
    incident = outage(space)
    space.services.board.run()
    assert [one.kind for one in space.services.health.alarms() if one.subject == "folder"] == ["board"]
    assert told(space, incident) == []
    folder.unlink()
    space.clock.forward(120)
    space.services.board.run()
    assert told(space, incident) == [("occurrence", "status_site", space.clock())]
    assert "folder" not in [one.subject for one in space.services.health.alarms()]


def test_a_page_is_whole_at_every_instant(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    board = space.services.board
    board.run()
    before = (board.folder / "index.html").read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    outage(space)
    board.run()
    assert (board.folder / "index.html").read_bytes() == before


def test_a_discontinuation_is_posted_by_being_on_the_board(space: Space) -> None:
    last = date(2027, 1, 15) + timedelta(days=90)
    words = {"title_ja": "終了", "title_en": "End", "text_ja": "終了します。", "text_en": "It ends."}
    one = space.services.contracts.discontinuing.announce(OPERATOR, last_day=last, reason="sold out", notice=words)
    assert one.posted_at is None
    space.services.board.run()
    (posted,) = space.services.contracts.discontinuing.all()
    assert posted.posted_at == space.clock()
    page = (space.services.board.folder / "index.html").read_text()
    assert "終了します。" in page and "sold out" not in page


def test_a_machine_without_a_steward_writes_the_board_itself_when_it_is_asked(space: Space) -> None:
    incident = outage(space)
    page = space.services.board.served.read("/status/")
    assert page.status == 200 and "障害が発生しています" in page.body.decode()
    assert told(space, incident) == [], "only the steward's writing is a post"
    index = space.services.board.folder / "index.html"
    old = index.stat().st_mtime - 1000
    os.utime(index, (old, old))
    space.services.db.close()
    assert space.services.board.served.read("/status/").status == 200, "old is better than nothing"
