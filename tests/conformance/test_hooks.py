"""Each hook, implemented by a plugin with all of its arguments, loaded and called as the gateway does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest

from gateway import pluginhost
from gateway.domain.errors import Disallowed, Maintenance, TakenDown
from gateway.domain.events import NODE_CREATED, Event
from gateway.domain.node import Kind, Node
from gateway.domain.tenant import Caller, Limits, Tenant
from gateway.domain.upload import Declared, Outcome, StagedContent, UploadInfo, Verdict
from gateway.hooks import (
    Change,
    Exporter,
    HealthFact,
    Job,
    PluginContext,
    PolicyKind,
    Request,
    TrafficSample,
    hookimpl,
)
from gateway.pluginhost import PluginHost
from gateway.testing.inspection import CALLER, TENANT, make_context

NODE = Node(9, 7, 1, Kind.COLLECTION, "work", 0, 0)
UPLOAD = UploadInfo(CALLER, ("work", "a.txt"), Declared(3))
EVENT = Event(7, "acme", 1, 0, NODE_CREATED, "ann", 0, 0, {})


@dataclass
class Choice:
    name: str
    on_error: str = "refuse"
    timeout: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Point:
    """An entry point whose factory gives a plugin that the test made."""

    name: str
    plugin: object
    value: str = "test"
    dist: None = None

    def load(self) -> Callable[[PluginContext], object]:
        return lambda context: self.plugin


def host_of(plugin: object, tmp_path: Path) -> PluginHost:
    points: Any = [Point("example", plugin)]
    return pluginhost.load(
        [Choice("example")], lambda choice: make_context(choice.name, tmp_path, on_error=choice.on_error), found=points
    )


def test_check_request_refuses_a_request(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def check_request(self, request: Request) -> None:
            if request.writes and request.path == ("work",) and request.caller is CALLER:
                raise Maintenance("tonight", retry_after=60)

    host = host_of(Example(), tmp_path)
    host.check("check_request", request=Request(CALLER, ("work",), writes=False))
    with pytest.raises(Maintenance):
        host.check("check_request", request=Request(CALLER, ("work",), writes=True))


def test_quota_limit_limits_a_tenant(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def quota_limit(self, tenant: Tenant) -> Limits | None:
            return Limits(bytes=len(tenant.name), files=2)

    assert host_of(Example(), tmp_path).limits(TENANT) == Limits(4, 2)


def test_check_upload_refuses_before_the_body(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def check_upload(self, upload: UploadInfo) -> None:
            raise Disallowed(f"{upload.name} of {upload.declared.length} bytes")

    with pytest.raises(Disallowed, match=r"a\.txt of 3 bytes") as refusal:
        host_of(Example(), tmp_path).check("check_upload", upload=UPLOAD)
    assert refusal.value.policy == "example"


def test_open_inspector_sees_every_block_and_judges(tmp_path: Path) -> None:
    class Counting:
        size = 0
        aborted = False

        def feed(self, block: bytes) -> None:
            self.size += len(block)

        def finish(self) -> Verdict:
            return Verdict(Outcome.HOLD, "example", "EX-1", f"{self.size} bytes")

        def abort(self) -> None:
            self.aborted = True

    class Example:
        @hookimpl
        def open_inspector(self, upload: UploadInfo) -> Counting | None:
            return inspectors.pop() if upload.name == "a.txt" else None

    first, second = Counting(), Counting()
    inspectors = [second, first]
    host = host_of(Example(), tmp_path)
    (one,) = host.open_inspectors(UPLOAD)
    one.feed(b"abc")
    one.feed(b"de")
    assert one.finish() == Verdict(Outcome.HOLD, "example", "EX-1", "5 bytes")
    (two,) = host.open_inspectors(UPLOAD)
    two.abort()
    assert second.aborted and not first.aborted


def test_check_content_judges_the_staged_bytes(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def check_content(self, upload: UploadInfo, staged: StagedContent) -> Verdict | None:
            text = Path(staged.file_path).read_text()
            return Verdict(Outcome.MARK, "example", "EX-2", upload.name) if "odd" in text else None

    host = host_of(Example(), tmp_path)
    (tmp_path / "staged").write_text("odd")
    staged = StagedContent(str(tmp_path / "staged"), 3, "0" * 64)
    assert host.content_verdicts(UPLOAD, staged) == [Verdict(Outcome.MARK, "example", "EX-2", "a.txt")]
    (tmp_path / "staged").write_text("even")
    assert [one.outcome for one in host.content_verdicts(UPLOAD, staged)] == [Outcome.CLEAN]


def test_describe_content_adds_facts(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def describe_content(self, upload: UploadInfo, staged: StagedContent) -> Mapping[str, str] | None:
            return {"example.size": str(staged.size), "example.name": upload.name}

    facts = host_of(Example(), tmp_path).describe(UPLOAD, StagedContent("/nowhere", 3, ""))
    assert facts == {"example.size": "3", "example.name": "a.txt"}


def test_check_change_refuses_a_change_of_the_tree(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def check_change(self, change: Change) -> None:
            if change.verb == "delete" and change.node is NODE:
                raise TakenDown

    host = host_of(Example(), tmp_path)
    host.check("check_change", change=Change(CALLER, "move", ("work",), NODE, ("home",)))
    with pytest.raises(TakenDown):
        host.check("check_change", change=Change(CALLER, "delete", ("work",), NODE))


def test_check_download_refuses_reading(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def check_download(self, caller: Caller, node: Node) -> None:
            if caller.user.login == "ann" and node.name == "work":
                raise TakenDown

    with pytest.raises(TakenDown):
        host_of(Example(), tmp_path).check("check_download", caller=CALLER, node=NODE)


@pytest.mark.parametrize("in_transaction", [False, True])
def test_on_event_delivers_committed_events(in_transaction: bool, tmp_path: Path) -> None:
    class Example:
        seen: list[Any]

        @hookimpl
        def on_event(self, event: Event, ledger: Any) -> None:
            self.seen.append((event, ledger))

    plugin = Example()
    plugin.seen = []
    plugin.in_transaction = in_transaction  # type: ignore[attr-defined]
    (subscriber,) = host_of(plugin, tmp_path).subscribers()
    assert (subscriber.name, subscriber.in_transaction) == ("example", in_transaction)
    subscriber.deliver(EVENT, None)
    assert plugin.seen == [(EVENT, None)]


def test_on_traffic_gets_samples(tmp_path: Path) -> None:
    class Example:
        seen: list[Any]

        @hookimpl
        def on_traffic(self, samples: Any, ledger: Any) -> None:
            self.seen.append((list(samples), ledger))

    plugin = Example()
    plugin.seen = []
    sample, ledger = TrafficSample("b00t", 1, 7, 0, 1, 2, 0, {"read": 1}), object()
    host_of(plugin, tmp_path).traffic([sample], ledger)  # type: ignore[arg-type]
    assert plugin.seen == [([sample], ledger)]


def test_register_jobs_gives_jobs_to_the_steward(tmp_path: Path) -> None:
    job = Job("example.tidy", 60, lambda: None)

    class Example:
        @hookimpl
        def register_jobs(self) -> list[Job]:
            return [job]

    assert host_of(Example(), tmp_path).jobs() == [job]


def test_register_health_gives_facts(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def register_health(self) -> list[Callable[[], HealthFact]]:
            return [lambda: HealthFact("example_works", "ok", "it does", 1.0), lambda: 1 / 0]  # type: ignore[list-item]

    good, bad = host_of(Example(), tmp_path).health_checks()
    assert good() == HealthFact("example_works", "ok", "it does", 1.0)
    assert (bad().name, bad().level) == ("example", "error")


def test_register_commands_adds_commands(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def register_commands(self, cli: click.Group) -> None:
            cli.add_command(click.Command("hello"))

    group = click.Group("kurado")
    host_of(Example(), tmp_path).add_commands(group)
    assert list(group.commands) == ["hello"]


def test_register_policies_adds_kinds_of_documents(tmp_path: Path) -> None:
    kind = PolicyKind("example", lambda document: document["key"])

    class Example:
        @hookimpl
        def register_policies(self) -> list[PolicyKind]:
            return [kind]

    assert host_of(Example(), tmp_path).policy_kinds() == {"example": kind}


def test_register_inspection_facts_adds_roots_for_content_rules(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def register_inspection_facts(self) -> Mapping[str, Any]:
            return {"example": lambda upload, file: {"name": upload.name, "first": file.read(1)}}

    (tmp_path / "file").write_bytes(b"abc")
    with (tmp_path / "file").open("rb") as file:
        provider = host_of(Example(), tmp_path).facts()["example"]
        assert provider(UPLOAD, file) == {"name": "a.txt", "first": b"a"}


def test_register_exporters_adds_billing_formats(tmp_path: Path) -> None:
    exporter = Exporter("example", lambda statement: str(statement).encode())

    class Example:
        @hookimpl
        def register_exporters(self) -> list[Exporter]:
            return [exporter]

    assert host_of(Example(), tmp_path).exporters() == {"example": exporter}


def test_a_plugin_takes_only_the_arguments_that_it_names(tmp_path: Path) -> None:
    class Example:
        @hookimpl
        def check_content(self, staged: StagedContent) -> Verdict | None:
            return Verdict(Outcome.MARK, "example", reason=str(staged.size))

    (verdict,) = host_of(Example(), tmp_path).content_verdicts(UPLOAD, StagedContent("/nowhere", 3, ""))
    assert verdict.reason == "3"
