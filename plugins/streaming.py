"""streaming: videos are handed over to the service of another company for playback (RULES EXT-01, D-58).

Settings: ``command`` (the operator's program for that service and its arguments, see docs/operating.md), ``types``
(prefixes of content types, default ``[video/]``), ``feature`` (of the plans that have it, default ``streaming``).
What a customer stores, overwrites or deletes is followed within seconds; a video that is refused (TKD-02), held, or of
a customer who may not use the service goes away there and comes back when it may. The gateway serves on while that
service is down.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from gateway.domain.errors import KuradoError
from gateway.domain.events import (
    FILE_REJECTED,
    FILE_RELEASED,
    FILE_WRITTEN,
    NODE_DELETED,
    NODE_MOVED,
    TREE_COPIED,
    TREE_ERASED,
    Event,
)
from gateway.domain.fields import Fields
from gateway.domain.node import Node, VersionState
from gateway.domain.tenant import Tenant
from gateway.hooks import EXTERNAL, HealthFact, Job, PluginContext, hookimpl
from plugins._streamer import Streamer, StreamerFault, VideoNotTaken
from plugins._streaming_book import SETTLED, TO_HAND_OVER, Entry, StreamingBook

EVERY_SECONDS = 2.0
DUE, ROUND, MOST_FAULTS = 20, 200, 3
_KEPT = (None, "INTERRUPTED", "MAINTENANCE")
"""While the service only pauses, what was handed over stays there."""


def create(context: PluginContext) -> Streaming:
    """The entry point. ValueError names a bad setting."""
    keys = Fields(context.settings)
    command = keys.take("command", _words, fix="command: [/opt/kurado/streamer]")
    usual: tuple[str, ...] = ("video/",)
    types = keys.take("types", _words, usual)
    feature = keys.take("feature", str, "streaming")
    keys.done()
    return Streaming(context, Streamer(command), tuple(one.lower() for one in types), feature)


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise ValueError("a list of words is needed")
    return tuple(value)


class Streaming:
    keeps_deadlines = True  # the program has its own

    def __init__(self, context: PluginContext, streamer: Streamer, types: tuple[str, ...], feature: str) -> None:
        self._context = context
        self._streamer = streamer
        self._types = types
        self._feature = feature
        self._book = StreamingBook(Path(context.data_dir) / "streaming" / "videos.db")
        self._seen = self._handed = self._removed = 0
        self._putting = threading.Lock()
        self._told: dict[str, str | None] = {}

    # -- what has changed ---------------------------------------------------------------------------------------------

    @hookimpl
    def on_event(self, event: Event) -> None:
        """Only notes what to look at: that service may be down for as long as it likes. The same event again changes
        nothing."""
        data = event.data
        if event.kind in (FILE_WRITTEN, TREE_COPIED):
            nodes = [data["node"]] if event.kind == FILE_WRITTEN else data["nodes"]
            videos = (one for one in nodes if one["version"] and self._is_video(one["version"]["content_type"]))
            found = {one["id"] for one in videos}
            self._book.note(event.tenant_id, found)
            self._book.touch({one["id"] for one in nodes} - found)  # a video that was replaced by something else
        elif event.kind in (FILE_RELEASED, FILE_REJECTED):
            self._book.touch([data["node_id"]])
        elif event.kind in (NODE_DELETED, NODE_MOVED, TREE_ERASED):
            self._book.touch_all(event.tenant_id)

    # -- what is done about it ----------------------------------------------------------------------------------------

    @hookimpl
    def register_jobs(self) -> Iterable[Job]:
        """Two, so that no removal waits for a put, which may take hours."""
        name = self._context.name
        return [
            Job(f"{name}.videos", EVERY_SECONDS, self.follow),
            Job(f"{name}.handover", EVERY_SECONDS, self.hand_over),
        ]

    def follow(self) -> None:
        """Looks at what has changed, and at some of the others: plans, refusals and contracts change as well. Removes
        what the service should have no more."""
        touched, others = self._book.to_look_at(self._seen, ROUND)
        self._seen = others[-1].node_id if len(others) == ROUND else 0
        for entry in {one.node_id: one for one in (*touched, *others)}.values():
            self._book.settle(entry, self._decided(entry))
        self._do(self._removals(), f"{self._context.name}.removals")

    def hand_over(self) -> None:
        """Gives the service what was found to be missing there."""
        if not self._putting.acquire(blocking=False):
            return  # a steward that lost its lease does not wait for a put under way
        try:
            self._do(self._puts(), self._context.name)
        finally:
            self._putting.release()

    def _do(self, steps: Iterable[Callable[[], None]], subject: str) -> None:
        """One video's own trouble holds up no other; that of the service itself ends the round."""
        faults: list[str] = []
        for step in steps:
            try:
                step()
            except StreamerFault as fault:
                faults.append(str(fault))
                if len(faults) % MOST_FAULTS == 0 and self._fault_of_service():
                    break
        message = faults[0] if faults else None
        if self._told.get(subject, "") != message:
            self._context.alarm(f"{self._context.name}.service", subject, message)
            self._told[subject] = message

    def _removals(self) -> Iterator[Callable[[], None]]:
        """Each round goes on behind the last one, so that those that cannot be removed do not take every turn."""
        for number, reference in self._book.leaving(self._removed, DUE):
            self._removed = number
            yield partial(self._take_away, reference)

    def _puts(self) -> Iterator[Callable[[], None]]:
        """Goes on behind the last one as well. Each is read when its turn comes: those before it took their time."""
        tried: set[int] = set()
        while len(tried) < DUE:
            entry = self._book.to_hand_over(self._handed)
            if entry is None or entry.node_id in tried:
                return
            self._handed = entry.node_id
            tried.add(entry.node_id)
            yield partial(self._put, entry)

    def _take_away(self, reference: str) -> None:
        self._streamer.delete(reference)
        self._book.left(reference)

    def _decided(self, entry: Entry) -> Entry | None:
        """What the service should have: the same entry where it has that."""
        node = self._video(entry)
        if node is None:
            return None
        if not self._may_be_there(node):
            return Entry(entry.node_id, entry.tenant_id)
        is_there = node.version is not None and node.version.id == entry.version_id
        return replace(entry, due=SETTLED if is_there else TO_HAND_OVER)

    def _put(self, entry: Entry) -> None:
        """The new version first, then the old one goes: playback never stops in between. StreamerFault."""
        node = self._video(entry)
        if node is None or not self._may_be_there(node):
            self._book.touch([entry.node_id])
        else:
            self._book.handed_over(entry, self._answered(entry, node))

    def _video(self, entry: Entry) -> Node | None:
        """The node while it is a video in somebody's space."""
        node: Node | None = self._context.services.db.read(
            lambda tx: tx.nodes.get(entry.node_id) if tx.nodes.path_of(entry.node_id) is not None else None
        )
        return node if node and node.version and self._is_video(node.version.content_type) else None

    def _may_be_there(self, node: Node) -> bool:
        services = self._context.services
        tenant = services.db.read(lambda tx: tx.tenants.by_id(node.tenant_id))
        if tenant is None or node.version is None or node.version.state is VersionState.HELD:
            return False
        return self._may_stream(tenant) and not services.standings.is_refused_node(tenant, node.id)

    def _answered(self, entry: Entry, node: Node) -> Entry:
        """What the service has after it was given the video. StreamerFault."""
        version = node.version
        assert version is not None
        about = {
            "KURADO_OBJECT": _object(entry),
            "KURADO_VERSION": f"{version.id:x}",
            "KURADO_CONTENT_TYPE": version.content_type,
            "KURADO_SIZE": str(version.size),
            "KURADO_SHA256": version.sha256,
        }
        try:
            with self._context.blobs.open(version.blob_id) if version.size else io.BytesIO() as content:
                reference = self._streamer.put(content, about)
        except VideoNotTaken as refused:
            return Entry(entry.node_id, entry.tenant_id, version.id, problem=str(refused))
        except KuradoError as error:
            raise StreamerFault(f"a video cannot be read: {error}") from error
        return Entry(entry.node_id, entry.tenant_id, version.id, reference)

    def _is_video(self, content_type: str) -> bool:
        return content_type.lower().startswith(self._types)

    def _may_stream(self, tenant: Tenant) -> bool:
        """LIM-02: the plan has the feature; and the customer may use the service at all (ACC-01)."""
        services = self._context.services
        if services.standings.decide(tenant).reason not in _KEPT:
            return False
        return self._feature in services.standings.features(tenant, self._context.policy("plans", tenant))

    # -- registered ---------------------------------------------------------------------------------------------------

    @hookimpl
    def register_health(self) -> Iterable[Callable[[], HealthFact]]:
        return [self._fact]

    def _fact(self) -> HealthFact:
        name = EXTERNAL + self._context.name
        fault = self._fault_of_service()
        return HealthFact(name, "error", fault, 0) if fault else HealthFact(name, "ok", "the video service works", 1)

    def _fault_of_service(self) -> str | None:
        try:
            self._streamer.check()
        except StreamerFault as fault:
            return str(fault)
        return None

    @hookimpl
    def register_commands(self, cli: click.Group) -> None:
        @cli.group("streaming")
        def group() -> None:
            """Videos at the service for playback."""

        @group.command("list")
        @click.argument("tenant")
        @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
        def list_(tenant: str, as_json: bool) -> None:
            """Show the videos of a tenant by object id, and their playback references (PRV-06: no names)."""
            rows = self._rows(tenant)
            if as_json:
                click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
            for row in () if as_json else rows:
                click.echo(f"{row['object']}  {row['reference'] or row['problem'] or '-'}")

        @group.command("scan")
        @click.argument("tenant")
        def scan(tenant: str) -> None:
            """Note all videos of a tenant: what was stored before this plugin was there."""
            click.echo(f"{self.scan(tenant)} videos are noted")

    def _rows(self, tenant: str) -> list[Mapping[str, Any]]:
        found = self._context.services.accounts.tenant(tenant)
        return [
            {
                "object": _object(one),
                "reference": one.reference or None,
                "problem": one.problem or None,
            }
            for one in self._book.of_tenant(found.id)
        ]

    def scan(self, tenant: str) -> int:
        """How many there are. NotFound."""
        services = self._context.services
        found = services.accounts.tenant(tenant)
        nodes = services.db.read(lambda tx: tx.nodes.subtree(found.root_id))
        videos = [one.id for one in nodes if one.version and self._is_video(one.version.content_type)]
        self._book.note(found.id, videos)
        return len(videos)


def _object(entry: Entry) -> str:
    """Names the video towards the service: no name of the customer's (PRV-06)."""
    return f"{entry.tenant_id:x}-{entry.node_id:x}"
