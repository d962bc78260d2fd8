"""The tree against a model of dictionaries: any sequence of operations leaves both with the same space.

After each step: every path of the model resolves, nothing else is listed, the parents of all nodes exist, no node is
above itself, and what the tenant should have used is what is counted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.db.engine import SqlDatabase, open_database
from gateway.domain.errors import AlreadyExists, Forbidden, NotEmpty
from gateway.domain.names import name_key, sort_key
from gateway.domain.node import Node
from gateway.domain.tenant import Tenant
from gateway.testing.postgres import PostgresServer
from gateway.testing.rows import NOW, collection, file, new_tenant, number, version

NAMES = st.sampled_from(["a", "b", "\u304c", "\u304b\u3099", "x'\"\\", "%s ?", "\U0001f600"])


@dataclass(eq=False)
class Thing:
    """A node of the model; ``children`` by (name_key, is it a collection)."""

    id: int
    name: str
    size: int | None
    parent: Thing | None
    children: dict[tuple[str, bool], Thing] = field(default_factory=dict)

    @property
    def is_collection(self) -> bool:
        return self.size is None

    def key(self) -> tuple[str, bool]:
        return name_key(self.name), self.is_collection

    def all(self) -> list[Thing]:
        return [self, *(below for child in self.children.values() for below in child.all())]

    def path(self) -> tuple[str, ...]:
        return (*self.parent.path(), self.name) if self.parent else ()

    def is_within(self, other: Thing) -> bool:
        return self is other or (self.parent is not None and self.parent.is_within(other))

    def hang(self, parent: Thing | None, name: str) -> None:
        if self.parent:
            del self.parent.children[self.key()]
        self.parent, self.name = parent, name
        if parent:
            parent.children[self.key()] = self


class Tree(RuleBasedStateMachine):
    open: Callable[[], SqlDatabase]

    def __init__(self) -> None:
        super().__init__()
        self.db = self.open()
        self.tenant: Tenant = new_tenant(self.db)
        self.root = Thing(self.tenant.root_id, "", None, None)
        self.detached: list[Thing] = []

    def teardown(self) -> None:
        self.db.close()

    def write(self, work: Callable[[Any], Any]) -> Any:
        return self.db.write(work, self.tenant.id).result(120)

    def pick(self, data: Any, *, collections: bool = False, root: bool = True) -> Thing:
        things = [one for one in self.root.all() if (one.is_collection or not collections) and (root or one.parent)]
        return data.draw(st.sampled_from(things))  # type: ignore[no-any-return]

    @initialize(names=st.lists(NAMES, max_size=3))
    def begin(self, names: list[str]) -> None:
        for name in names:
            self.add(Thing(number(), name, None, None), self.root)

    def add(self, thing: Thing, parent: Thing) -> None:
        make = collection if thing.is_collection else file
        extra = {} if thing.size is None else {"size": thing.size}
        node = make(self.tenant.id, parent.id, thing.name, id=thing.id, **extra)
        if thing.key() in parent.children:
            with pytest.raises(AlreadyExists):
                self.write(lambda tx: tx.nodes.insert(node))
        else:
            self.write(lambda tx: tx.nodes.insert(node))
            thing.hang(parent, thing.name)

    @rule(data=st.data(), name=NAMES, size=st.none() | st.integers(0, 2**40))
    def insert(self, data: Any, name: str, size: int | None) -> None:
        self.add(Thing(number(), name, size, None), self.pick(data, collections=True))

    @rule(data=st.data(), size=st.integers(0, 2**40))
    def overwrite(self, data: Any, size: int) -> None:
        thing = self.pick(data)
        if not thing.is_collection:
            self.write(lambda tx: tx.nodes.set_version(thing.id, version(size), NOW, None))
            thing.size = size

    @rule(data=st.data(), name=NAMES)
    @precondition(lambda self: self.root.children)
    def move(self, data: Any, name: str) -> None:
        thing, parent = self.pick(data, root=False), self.pick(data, collections=True)

        def place(tx: Any) -> None:
            tx.nodes.place(thing.id, parent.id, name, NOW)

        taken = parent.children.get((name_key(name), thing.is_collection))
        if parent.is_within(thing):
            with pytest.raises(Forbidden):
                self.write(place)
        elif taken not in (None, thing):
            with pytest.raises(AlreadyExists):
                self.write(place)
        else:
            self.write(place)
            thing.hang(parent, name)

    @rule(data=st.data())
    @precondition(lambda self: self.root.children)
    def remove(self, data: Any) -> None:
        thing = self.pick(data, root=False)
        if thing.children:
            with pytest.raises(NotEmpty):
                self.write(lambda tx: tx.nodes.remove(thing.id))
        else:
            self.write(lambda tx: tx.nodes.remove(thing.id))
            thing.hang(None, thing.name)

    @rule(data=st.data())
    @precondition(lambda self: self.root.children)
    def detach(self, data: Any) -> None:
        thing = self.pick(data, root=False)
        self.write(lambda tx: tx.nodes.place(thing.id, None, thing.name, NOW))
        thing.hang(None, thing.name)
        self.detached.append(thing)

    @rule(limit=st.integers(1, 5))
    @precondition(lambda self: self.detached)
    def erase(self, limit: int) -> None:
        thing = self.detached.pop()
        left = len(thing.all())
        finished = False
        while not finished:
            finished = self.write(lambda tx: tx.nodes.remove_leaves(thing.id, limit))[3]
            left -= limit
            assert left > -limit or finished

    @invariant()
    def both_hold_the_same(self) -> None:
        self.db.read(self.compare)

    def compare(self, tx: Any) -> None:
        for thing in self.root.all():
            self.compare_one(tx, thing)
        everything = [*self.root.all(), *(below for top in self.detached for below in top.all())]
        sizes = [one.size for one in everything if one.size is not None]
        assert tx.nodes.totals(self.tenant.id) == (sum(sizes), len(sizes))
        below = tx.nodes.subtree(self.root.id)
        assert {node.id for node in below} == {one.id for one in self.root.all()}
        waiting = {node_id for owner, node_id in tx.nodes.detached(NOW, 10_000) if owner == self.tenant.id}
        assert waiting == {one.id for one in self.detached}
        assert tx.session.scalar("SELECT COUNT(*) FROM nodes WHERE tenant_id = ?", self.tenant.id) == len(everything)

    def compare_one(self, tx: Any, thing: Thing) -> None:
        children: list[Node] = tx.nodes.children(thing.id)
        wanted = sorted(thing.children.values(), key=lambda one: sort_key(one.name, collection=one.is_collection))
        assert [(one.id, one.name, one.is_collection) for one in children] == [
            (one.id, one.name, one.is_collection) for one in wanted
        ]
        assert [one.size for one in children] == [one.size or 0 for one in wanted]
        assert tx.nodes.path_of(thing.id) == thing.path()
        chain: list[Node] = tx.nodes.chain(self.root.id, thing.path())
        assert len(chain) == len(thing.path()) + 1
        twin = thing.parent.children.get((name_key(thing.name), True)) if thing.parent else None
        assert chain[-1].id == (twin or thing).id
        assert [node.parent_id for node in chain[1:]] == [node.id for node in chain[:-1]]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_any_sequence_of_operations_leaves_the_tree_of_the_model(kind: str, request: pytest.FixtureRequest) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            url = f"sqlite:///{folder}/kurado.db"
        else:
            server: PostgresServer = request.getfixturevalue("postgres")
            url = server.new_database()
        machine = type("Tree", (Tree,), {"open": staticmethod(lambda: open_database(url, clock=lambda: NOW))})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=40 if kind == "sqlite" else 8,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
