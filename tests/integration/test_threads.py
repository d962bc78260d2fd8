"""Many threads on the same few paths of one space: afterwards usage, log and bytes agree, and no bytes are lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.domain.errors import KuradoError
from gateway.domain.replay import Space as Replayed
from gateway.service import files, trees
from gateway.testing.space import Space, open_space

NAMES = ("a", "b", "c")
THREADS, CHANGES = 6, 25


def work(space: Space, seed: int, faults: list[BaseException]) -> None:
    rng = random.Random(seed)
    services, caller = space.services, space.caller

    def path() -> tuple[str, ...]:
        return tuple(rng.choice(NAMES) for _ in range(rng.choice([1, 1, 2, 2, 3])))

    for _ in range(CHANGES):
        one, other = path(), path()
        actions: list[Callable[[], object]] = [
            lambda: services.files.make_collection(caller, one),  # noqa: B023
            lambda: space.put("/".join(one), rng.randbytes(rng.choice([0, 5, 50]))),  # noqa: B023
            lambda: space.put("/".join(one), rng.randbytes(5)),  # noqa: B023
            lambda: services.files.delete(caller, one),  # noqa: B023
            lambda: services.files.move(caller, one, other),  # noqa: B023
            lambda: services.files.copy(caller, one, other),  # noqa: B023
            lambda: services.files.copy(caller, one, other),  # noqa: B023
            lambda: services.trees.erase_detached(),
        ]
        try:
            rng.choice(actions)()
        except KuradoError:
            continue
        except BaseException as error:
            faults.append(error)
            return


@pytest.mark.parametrize("seed", range(3))
def test_threads_on_the_same_paths_leave_one_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    for module in (files, trees):
        monkeypatch.setattr(module, "BATCH", 3)
    with open_space(tmp_path) as space:
        for name in NAMES:
            space.mkcol(name)
            for member in "xyz":
                space.put(f"{name}/{member}", b"content")
        faults: list[BaseException] = []
        threads = [
            threading.Thread(target=work, args=(space, seed * THREADS + number, faults)) for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        while space.services.trees.erase_detached():
            pass
        tenant = space.caller.tenant
        model = Replayed(tenant.id, tenant.name)
        for event in space.services.db.read(lambda tx: tx.events.after(tenant.id, 0, 100_000)):
            model.apply(event)
        assert {kept.node.id for kept in model.reachable()} == {
            node.id for node in space.services.db.read(lambda tx: tx.nodes.subtree(tenant.root_id))
        }
        assert model.usage() == space.used()
        assert list(space.services.fsck.run(deep=True)) == []
