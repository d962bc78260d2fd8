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
from collections.abc import Callable, Iterable, Mapping
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
from plugins._streaming_book import Entry, StreamingBook

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
        self._seen = 0

    # -- what has changed ---------------------------------------------------------------------------------------------

    @hookimpl
    def on_event(self, event: Event) -> None:
        """Only notes what to look at: that service may be down for as long as it likes. The same event again changes
        nothing."""
        data = event.data
        if event.kind in (FILE_WRITTEN, TREE_COPIED):
            nodes = [data["node"]] if event.kind == FILE_WRITTEN else data["nodes"]
            found = [one for one in nodes if one["version"] and self._is_video(one["version"]["content_type"])]
            self._book.note(event.tenant_id, [one["id"] for one in found])
            for other in (one["id"] for one in nodes if one not in found):
                self._book.touch(other)  # a video that was replaced by something else
        elif event.kind in (FILE_RELEASED, FILE_REJECTED):
            self._book.touch(data["node_id"])
        elif event.kind in (NODE_DELETED, NODE_MOVED, TREE_ERASED):
            self._book.touch_all(event.tenant_id)

    # -- what is done about it ----------------------------------------------------------------------------------------

    @hookimpl
    def register_jobs(self) -> Iterable[Job]:
        return [Job(f"{self._context.name}.videos", EVERY_SECONDS, self.work)]

    def work(self) -> None:
        """Looks at what has changed, and at some of the others: plans, refusals and contracts change as well."""
        others = self._book.after(self._seen, ROUND)
        self._seen = others[-1].node_id if len(others) == ROUND else 0
        work = [partial(self._take_away, one) for one in self._book.leaving()]
        looked_at = {one.node_id: one for one in (*others, *self._book.due(DUE))}.values()
        work += [partial(self._settle, one) for one in looked_at]
        faults: list[str] = []
        for step in work:
            try:
                step()
            except StreamerFault as fault:  # one video's own trouble holds up no other
                faults.append(str(fault))
                if len(faults) == MOST_FAULTS:
                    break
        alarm = f"{self._context.name}.service"
        self._context.alarm(alarm, self._context.name, faults[0] if faults else None)

    def _take_away(self, reference: str) -> None:
        self._streamer.delete(reference)
        self._book.left(reference)

    def _settle(self, entry: Entry) -> None:
        """Makes what the service has what it should have; what it should have no more is removed in the next round."""
        node = self._video(entry)
        if node is None:
            self._book.settle(entry, None)
        elif not self._may_be_there(node):
            self._book.settle(entry, Entry(entry.node_id, entry.tenant_id))
        elif node.version is not None and node.version.id == entry.version_id:
            self._book.settle(entry, entry)
        else:
            self._book.settle(entry, self._hand_over(entry, node))

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

    def _hand_over(self, entry: Entry, node: Node) -> Entry:
        """The new version first, then the old one goes: playback never stops in between. StreamerFault."""
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
        features = services.standings.features(tenant)
        if features is None:
            features = self._context.policy("plans", tenant).get(tenant.plan).features
        return self._feature in features

    # -- registered ---------------------------------------------------------------------------------------------------

    @hookimpl
    def register_health(self) -> Iterable[Callable[[], HealthFact]]:
        return [self._fact]

    def _fact(self) -> HealthFact:
        name = EXTERNAL + self._context.name
        try:
            self._streamer.check()
        except StreamerFault as fault:
            return HealthFact(name, "error", str(fault), 0)
        return HealthFact(name, "ok", "the video service works", 1)

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
