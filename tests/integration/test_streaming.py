"""Videos at a service for playback, through a program that keeps them in a folder: as it is for the operator's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
from plugins.streaming import Streaming, create

START = date(2027, 4, 21)
PROGRAM = """
import os, sys, pathlib
here = pathlib.Path(__file__).parent
if (here / "down").exists():
    sys.exit("the service is down")
word = sys.argv[1]
if word == "put":
    content = sys.stdin.buffer.read()
    assert len(content) == int(os.environ["KURADO_SIZE"])
    if content.startswith(b"odd"):
        sys.exit("this one breaks me")
    if content.startswith(b"bad"):
        print("no such codec", file=sys.stderr)
        sys.exit(65)
    name = "ref-" + os.environ["KURADO_OBJECT"] + "-" + os.environ["KURADO_VERSION"]
    (here / name).write_bytes(content)
    print(name)
elif word == "delete":
    (here / sys.argv[2]).unlink(missing_ok=True)
"""


@dataclass
class Service:
    folder: Path
    plugin: Streaming
    alarms: Alarms
    space: Space

    def round(self) -> list[bytes]:
        """Events are delivered, the job has its turn twice; what the service has then."""
        _deliver(self.space, self.plugin)
        self.plugin.work()
        self.plugin.work()
        return sorted(file.read_bytes() for file in self.folder.glob("ref-*"))

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


def test_videos_from_before_the_plugin_are_found_by_a_scan(space: Space, service: Service) -> None:
    under_contract(space)
    store(space, "film.mp4", b"one")
    service.plugin.work()
    assert not list(service.folder.glob("ref-*"))
    assert run(service, "scan", "acme") == "1 videos are noted\n"
    service.plugin.work()
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
