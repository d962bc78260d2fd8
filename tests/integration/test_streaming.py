"""Videos at a service for playback, through a program that keeps them in a folder: as it is for the operator's own."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from gateway.domain.upload import Conditions, Declared
from gateway.testing.contracts import ANN, begin, on, paper
from gateway.testing.inspection import Alarms, make_context
from gateway.testing.space import Clock, Space, open_space
from gateway.testing.waiting import PATIENCE, until
from plugins._streaming_book import TO_HAND_OVER, Entry, StreamingBook
from plugins.streaming import MOST_FAULTS, Streaming, create

START = date(2027, 4, 21)
PROGRAM = """
import os, sys, pathlib, time
here = pathlib.Path(__file__).parent
if (here / "down").exists():
    sys.exit("the service is down")
word = sys.argv[1]
if word == "put":
    content = sys.stdin.buffer.read()
    if content.startswith(b"slow"):
        (here / "busy").touch()
        while not (here / "go").exists():
            time.sleep(0.02)  # a process of its own, which the test can tell only by files
    assert len(content) == int(os.environ["KURADO_SIZE"])
    if content.startswith(b"odd"):
        sys.exit("this one breaks me")
    if content.startswith(b"bad"):
        print("no such codec", file=sys.stderr)
        sys.exit(65)
    name = "ref-" + os.environ["KURADO_OBJECT"] + "-" + os.environ["KURADO_VERSION"]
    (here / name).write_bytes(content)
    print(name)
elif word == "health" and (here / "ill").exists():
    sys.exit("the service is ill")
elif word == "delete":
    if (here / "stuck").exists():
        sys.exit("it cannot be removed")
    (here / sys.argv[2]).unlink(missing_ok=True)
"""


@dataclass
class Service:
    folder: Path
    plugin: Streaming
    alarms: Alarms
    space: Space

    def round(self) -> list[bytes]:
        """Events are delivered, the jobs have their turn twice; what the service has then."""
        _deliver(self.space, self.plugin)
        self.work()
        self.work()
        return self.videos()

    def work(self) -> None:
        for job in self.plugin.register_jobs():
            job.run()

    def videos(self) -> list[bytes]:
        return sorted(file.read_bytes() for file in self.folder.glob("ref-*"))

    @contextmanager
    def slow_put(self) -> Iterator[None]:
        """While it is under way; at its end the service takes the video."""
        _deliver(self.space, self.plugin)
        self.plugin.follow()
        putting = threading.Thread(target=self.plugin.hand_over, daemon=True)
        putting.start()
        until(lambda: (self.folder / "busy").exists())
        try:
            yield
        finally:
            (self.folder / "go").touch()
            putting.join(PATIENCE)
        assert not putting.is_alive()

    def down(self, is_down: bool = True) -> None:
        flag = self.folder / "down"
        flag.touch() if is_down else flag.unlink()


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path / "space", plugins=["contract_state"], clock=Clock()) as opened:
        yield opened


@pytest.fixture
def service(space: Space, tmp_path: Path) -> Service:
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "streamer.py").write_text(PROGRAM)
    settings = {"command": [sys.executable, str(folder / "streamer.py")]}
    services = space.services
    context = make_context(
        "streaming", tmp_path / "data", settings, services=services, blobs=services.store, clock=space.clock,
        policy=lambda name, tenant: services.policies.get(name, tenant),
    )  # fmt: skip
    return Service(folder, create(context), context.alarm, space)  # type: ignore[arg-type]


def _deliver(space: Space, plugin: Streaming) -> None:
    tenants = space.services.db.read(lambda tx: tx.tenants.all())
    for tenant in tenants:
        for event in space.services.db.read(lambda tx, tenant=tenant: tx.events.after(tenant.id, 0, 1000)):  # type: ignore[misc]
            plugin.on_event(event=event)


def store(space: Space, path: str, content: bytes, content_type: str = "video/mp4") -> None:
    space.deployment.leases.renew()
    upload = space.services.uploads.open(
        space.caller, tuple(path.split("/")), Declared(len(content), content_type), Conditions()
    )
    upload.feed(content)
    upload.finish()


def under_contract(space: Space, plan: str = "pro") -> None:
    """The caller becomes the owner of a customer whose plan has the feature, or has it not."""
    begin(space, "acme", START, plan=plan)
    tenant = space.services.accounts.tenant("acme")
    user = space.services.db.read(lambda tx: tx.users.find(tenant.id, "owner"))
    assert user is not None
    space.caller = type(space.caller)(tenant, user, "test", "TEST", "127.0.0.1")


def test_a_video_is_handed_over_replaced_and_removed_with_its_object(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "film.mp4", b"one")
    store(space, "note.txt", b"text", "text/plain")
    assert service.round() == [b"one"]
    store(space, "film.mp4", b"two")
    assert service.round() == [b"two"]
    space.services.files.copy(
        space.caller, ("film.mp4",), ("copy.mp4",), overwrite=False, infinite=True, conditions=Conditions()
    )
    assert service.round() == [b"two", b"two"]
    space.services.files.move(space.caller, ("film.mp4",), ("other.mp4",), overwrite=False, conditions=Conditions())
    assert service.round() == [b"two", b"two"]
    space.services.files.delete(space.caller, ("other.mp4",), Conditions())
    assert service.round() == [b"two"]
    store(space, "copy.mp4", b"no film", "text/plain")
    assert service.round() == []


def test_a_plan_without_the_feature_hands_nothing_over_until_it_has_it(space: Space, service: Service) -> None:
    under_contract(space, "standard")
    store(space, "film.mp4", b"one")
    assert service.round() == []
    space.services.contracts.papers.request_change("acme", ANN, paper(space), plan="pro", requested_on=START)
    on(space, date(2027, 5, 1))
    assert service.round() == [b"one"]


def test_a_refused_video_goes_and_comes_back_when_the_refusal_is_lifted(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "film.mp4", b"one")
    assert service.round() == [b"one"]
    takedowns = space.services.takedowns
    one = takedowns.set(space.caller.tenant, ("film.mp4",), 2, "somebody else's film", ANN)
    assert service.round() == []
    takedowns.lift(one.id, "it was not", ANN)
    assert service.round() == [b"one"]


def test_after_the_end_nothing_stays_there(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "film.mp4", b"one")
    assert service.round() == [b"one"]
    space.services.contracts.powers.terminate(
        "acme", ANN, ground="17(1)5", arrived_at=space.clock.now, found_on=START, reason="insolvent"
    )
    assert service.round() == []


def test_while_the_service_is_down_nothing_is_lost_and_the_operator_is_told(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "film.mp4", b"one")
    assert service.round() == [b"one"]
    service.down()
    store(space, "film.mp4", b"two")
    store(space, "more.mp4", b"three")
    assert service.round() == [b"one"]
    assert service.alarms.active == {("streaming.service", "streaming"): "the service is down"}
    (check,) = service.plugin.register_health()
    assert (check().name, check().level) == ("external.streaming", "error")
    service.down(False)
    assert service.round() == [b"three", b"two"]
    assert (service.alarms.active, check().level) == ({}, "ok")


def test_what_the_service_does_not_take_is_told_and_not_tried_again(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "film.mp4", b"bad film")
    assert service.round() == []
    assert (rows(service)[0]["reference"], rows(service)[0]["problem"]) == (None, "no such codec")
    store(space, "film.mp4", b"good film")
    assert service.round() == [b"good film"]
    assert rows(service)[0]["problem"] is None


def test_one_video_that_breaks_the_program_holds_up_no_other(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "odd.mp4", b"odd film")
    store(space, "film.mp4", b"one")
    assert service.round() == [b"one"]
    assert service.alarms.active == {("streaming.service", "streaming"): "this one breaks me"}
    space.services.files.delete(space.caller, ("odd.mp4",))
    assert service.round() == [b"one"]
    assert service.alarms.active == {}


def test_faulty_videos_and_removals_hold_up_no_good_ones(space: Space, service: Service) -> None:
    under_contract(space)
    for number in range(MOST_FAULTS):
        store(space, f"{number}.mp4", b"old %d" % number)
    assert len(service.round()) == MOST_FAULTS
    (service.folder / "stuck").touch()
    for number in range(MOST_FAULTS):
        space.services.files.delete(space.caller, (f"{number}.mp4",), Conditions())
        store(space, f"odd{number}.mp4", b"odd film")
    store(space, "film.mp4", b"one")
    _deliver(space, service.plugin)
    service.work()
    assert service.videos() == [b"old 0", b"old 1", b"old 2", b"one"]
    assert service.alarms.active == {
        ("streaming.service", "streaming"): "this one breaks me",
        ("streaming.service", "streaming.removals"): "it cannot be removed",
    }
    (service.folder / "stuck").unlink()
    assert service.round() == [b"one"]
    assert service.alarms.active == {("streaming.service", "streaming"): "this one breaks me"}


def test_a_round_ends_when_the_service_fails_and_the_next_one_goes_on_behind_it(space: Space, service: Service) -> None:
    under_contract(space)
    for number in range(MOST_FAULTS):
        store(space, f"odd{number}.mp4", b"odd film")
    store(space, "film.mp4", b"one")
    _deliver(space, service.plugin)
    service.plugin.follow()
    (service.folder / "ill").touch()
    service.plugin.hand_over()
    assert service.videos() == []
    service.plugin.hand_over()
    assert service.videos() == [b"one"]


def test_a_removal_does_not_wait_for_a_put(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "film.mp4", b"one")
    assert service.round() == [b"one"]
    store(space, "long.mp4", b"slow film")
    with service.slow_put():
        space.services.files.delete(space.caller, ("film.mp4",), Conditions())
        _deliver(space, service.plugin)
        service.work()  # the other job's turn ends at once: one puts already
        assert service.videos() == []
    assert service.round() == [b"slow film"]


def test_what_was_withdrawn_while_it_was_handed_over_does_not_stay_there(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "gone.mp4", b"slow film")
    with service.slow_put():
        space.services.files.delete(space.caller, ("gone.mp4",), Conditions())
        service.round()
    assert service.videos() == [b"slow film"]
    assert service.round() == []


def test_what_was_replaced_while_it_was_handed_over_is_handed_over_anew(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "film.mp4", b"one")
    assert service.round() == [b"one"]
    store(space, "film.mp4", b"slow film")
    with service.slow_put():
        store(space, "film.mp4", b"three")
        assert service.round() == [b"one"]
    assert service.round() == [b"three"]


def test_a_refusal_that_was_lifted_during_a_put_costs_another_put(tmp_path: Path) -> None:
    """The service may give one reference for all versions: what was removed under it may be the new one."""
    book = StreamingBook(tmp_path / "videos.db")
    book.note(1, [7])
    book.settle(look(book), Entry(7, 1, due=TO_HAND_OVER))
    book.handed_over(to_hand_over(book), Entry(7, 1, 11, "ref"))
    book.settle(look(book), Entry(7, 1, 11, "ref", due=TO_HAND_OVER))  # there is a version 12
    under_way = to_hand_over(book)
    book.touch([7])
    book.settle(look(book), Entry(7, 1))  # refused
    assert [one for _, one in book.leaving(0, 9)] == ["ref"]
    book.left("ref")
    book.touch([7])
    book.settle(look(book), Entry(7, 1, due=TO_HAND_OVER))  # lifted
    book.handed_over(under_way, Entry(7, 1, 12, "ref"))
    seen = look(book)
    assert (seen.version_id, seen.reference) == (0, "")
    book.settle(seen, replace(seen, due=TO_HAND_OVER))
    assert book.to_hand_over(0) is None
    book.left("ref")
    assert to_hand_over(book) == Entry(7, 1, due=TO_HAND_OVER)


def test_what_was_touched_since_it_was_read_is_looked_at_again(tmp_path: Path) -> None:
    book = StreamingBook(tmp_path / "videos.db")
    book.note(1, [7])
    seen = look(book)
    book.touch([7, 8])
    book.settle(seen, None)
    again = look(book)
    assert again == seen == look(book)  # also after a crash
    book.settle(again, Entry(7, 1))
    assert book.to_look_at(0, 9) == ([], [Entry(7, 1)])


def look(book: StreamingBook) -> Entry:
    (touched,), _ = book.to_look_at(0, 9)
    return touched


def to_hand_over(book: StreamingBook) -> Entry:
    found = book.to_hand_over(0)
    assert found is not None
    return found


def test_while_nothing_changes_nothing_is_written(space: Space, service: Service, tmp_path: Path) -> None:
    under_contract(space)
    store(space, "film.mp4", b"one")
    store(space, "bad.mp4", b"bad film")
    service.round()
    service.work()
    with closing(sqlite3.connect(next(tmp_path.rglob("videos.db")))) as db:
        before = db.execute("PRAGMA data_version").fetchone()
        service.work()
        assert db.execute("PRAGMA data_version").fetchone() == before
        service.plugin._book.touch_all(space.caller.tenant.id)
        assert db.execute("PRAGMA data_version").fetchone() != before


def test_videos_from_before_the_plugin_are_found_by_a_scan(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "film.mp4", b"one")
    service.work()
    assert not list(service.folder.glob("ref-*"))
    assert run(service, "scan", "acme") == "1 videos are noted\n"
    service.work()
    assert run(service, "list", "acme").split()[1] == next(service.folder.glob("ref-*")).name


def rows(service: Service) -> list[Any]:
    found: list[Any] = json.loads(run(service, "list", "acme", "--json"))
    return found


def run(service: Service, *words: str) -> str:
    cli = click.Group()
    service.plugin.register_commands(cli=cli)
    done = CliRunner().invoke(cli, ["streaming", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    "settings", [{}, {"command": "streamer"}, {"command": ["a"], "types": []}, {"command": ["a"], "quality": 1}]
)
def test_bad_settings_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"command|types|quality"):
        create(make_context("streaming", tmp_path, settings))
