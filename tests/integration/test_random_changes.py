"""Random changes of one space, large trees in batches: usage, the log of events and the bytes always say the same."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.domain.errors import KuradoError
from gateway.domain.events import node_to_json
from gateway.domain.names import Path
from gateway.domain.node import Node, Version, VersionState
from gateway.domain.replay import Space as Replayed
from gateway.domain.upload import CLEAN, NO_CONDITIONS, Declared, Outcome, PropertyChange, Verdict
from gateway.service import files, trees
from gateway.service.contracts import Actor
from gateway.service.objects import Key
from gateway.service.placing import BY_KEY
from gateway.service.sweeper import READ_GRACE_MS
from gateway.service.uploads import Upload
from gateway.testing.space import Space, open_space

NAMES = ("a", "b", "c", "e\u0301", "\u00e9")
BAD = Verdict(Outcome.REFUSE, "virus_scan", reason="Eicar", error="infected")
ANN = Actor("ann")
QUOTA = 3000


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_usage_events_and_bytes_agree_after_every_change(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, rng = tmp_path_factory.mktemp("random"), random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        for module in (files, trees):
            patch.setattr(module, "BATCH", 3)
        with open_space(folder, plugins=["contract_state", "quota"], quota_bytes=QUOTA) as space:
            replayed = Replayed(space.caller.tenant.id, "studio")
            for _ in range(40):
                change(space, rng)
                space.clock.forward(rng.choice([0, 0.001, 1]))
                space.deployment.leases.renew()
                check(space, replayed)
            for name in [one.id for one in space.services.takedowns.all() if one.lifted_at is None]:
                space.services.takedowns.lift(name, "over", ANN)
                check(space, replayed)
            space.services.accounts.remove("studio")
            while space.services.trees.erase_detached():
                check(space, replayed)
            assert space.used() == (0, 0)
            sweep(space)
            assert list(space.services.store.list()) == []
    shutil.rmtree(folder)


def change(space: Space, rng: random.Random) -> None:
    """One change; one that is refused must change nothing."""
    services, caller = space.services, space.caller
    collections, there = places(space)
    free = (*rng.choice(collections), rng.choice(NAMES))
    path = rng.choice(collections + there * 2)
    other = rng.choice([free, free, *there, *collections])
    file = rng.choice([free, *there])
    actions: list[Callable[[], object]] = [
        lambda: services.files.make_collection(caller, free),
        lambda: put(space, free, rng),
        lambda: put(space, file, rng),
        lambda: hold(space, file, rng),
        lambda: services.files.delete(caller, path),
        lambda: services.files.move(caller, path, other),
        lambda: services.files.copy(caller, path, other),
        lambda: services.files.copy(caller, path, free),
        lambda: services.files.copy(caller, path, other, infinite=False),
        lambda: services.files.set_props(caller, path, {"{x:}p": f"{rng.random()}"}, mtime=rng.randrange(10**12)),
        lambda: judge(space, rng),
        lambda: judge(space, rng),
        lambda: sweep(space),
        lambda: services.trees.erase_detached(1),
        *by_key(space, rng, [path[0] for path in collections if path]),
        lambda: services.takedowns.set(caller.tenant, file, 2, "a complaint", ANN),
        lambda: services.takedowns.lift(f"T{rng.randrange(1, 9)}", "over", ANN),
    ]
    try:
        rng.choice(actions)()
    except KuradoError:
        return


def by_key(space: Space, rng: random.Random, buckets: list[str]) -> list[Callable[[], object]]:
    """What S3 does: names byte for byte, parents implied, folders explicit or not."""
    services, caller, objects = space.services, space.caller, space.services.objects
    bucket = rng.choice([*buckets, "a"])

    def key(*, folder: bool = False) -> Key:
        return Key((bucket, *(rng.choice(NAMES) for _ in range(rng.choice((1, 1, 2, 3))))), folder)

    def put_object() -> None:
        body = rng.randbytes(rng.choice([0, 10, 100]))
        change = PropertyChange(("{urn:kurado:meta}",), {"{urn:kurado:meta}m": f"<m>{rng.random()}</m>"})
        declared = Declared(len(body), md5_etag=True, facts={"f": "1"}, properties=change)
        upload = services.uploads.open(caller, key().path, declared, NO_CONDITIONS, BY_KEY)
        upload.feed(body)
        upload.finish()

    def copied(version: Version, number: int, now: int) -> Version:
        return replace(version, id=number, created_at=now)

    def ignore(_: Node) -> None:
        return None

    return [
        put_object,
        put_object,
        put_object,
        lambda: objects.put_folder(caller, key(folder=True), PropertyChange(), NO_CONDITIONS),
        lambda: objects.delete(caller, key()).result(),
        lambda: objects.delete(caller, key()).result(),
        lambda: objects.delete(caller, key(folder=True)).result(),
        lambda: objects.change(caller, key(folder=rng.random() < 0.5), lambda props: {**props, "{x:}q": "<q/>"}),
        lambda: objects.copy(caller, key(), key(), made=copied, change=None, source_conditions=ignore),
        lambda: services.buckets.create(caller, rng.choice(NAMES)),
        lambda: services.buckets.delete(caller, bucket),
    ]


def places(space: Space) -> tuple[list[Path], list[Path]]:
    """Paths of collections, the root first, and of files."""
    collections: list[Path] = [()]
    there: list[Path] = []
    for path in collections:
        for node in space.services.files.children(space.services.files.get(space.caller, path)):
            (collections if node.is_collection else there).append((*path, node.name))
    return [path for path in collections if len(path) < 3], there


def put(space: Space, path: Path, rng: random.Random) -> None:
    body = rng.randbytes(rng.choice([0, 1, 10, 100]))
    space.services.uploads.put(space.caller, path, Declared(len(body)), NO_CONDITIONS, body)


def hold(space: Space, path: Path, rng: random.Random) -> None:
    """An upload that an inspector holds or marks."""
    state = rng.choice([VersionState.HELD, VersionState.HELD, VersionState.MARKED])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Upload, "_judge", lambda *_: (state, "virus_scan: waits"))
        put(space, path, rng)


def judge(space: Space, rng: random.Random) -> None:
    pending = space.services.holds.pending()
    if pending:
        node = rng.choice(pending)
        if rng.random() < 0.5:
            space.services.holds.reject(node, BAD)
        else:
            space.services.holds.release(node, rng.choice([VersionState.CLEAN, VersionState.MARKED]), CLEAN.reason)


def sweep(space: Space) -> None:
    for subscriber in space.services.outbox.subscribers():
        while space.services.outbox.deliver(subscriber, 0):
            pass
    space.clock.forward(READ_GRACE_MS / 1000)
    space.deployment.leases.renew()
    space.services.sweeper.sweep_released()


def check(space: Space, replayed: Replayed) -> None:
    space.used()
    tenant_id, root_id = space.caller.tenant.id, space.caller.tenant.root_id
    for event in space.services.db.read(lambda tx: tx.events.after(tenant_id, replayed.seq, 10_000)):
        replayed.apply(event)

    def live(tx: Any) -> dict[int, tuple[Any, Any]]:
        nodes = tx.nodes.subtree(root_id)
        return {n.id: (node_to_json(n), tx.nodes.version(n.previous_id) if n.previous_id else None) for n in nodes}

    tree = space.services.db.read(live)
    again = {kept.node.id: (node_to_json(kept.node), kept.previous) for kept in replayed.reachable()}
    if replayed.tenant["state"] != "removed":
        assert again == tree
    stored = {info.key for info in space.services.store.list()}
    needed = {blob for blob, _, _ in space.services.db.read(lambda tx: tx.nodes.blobs("", 10_000)) if blob}
    waiting = {one.blob_id for one in space.services.db.read(lambda tx: tx.blobs.released(10_000))}
    assert needed <= stored <= needed | waiting
