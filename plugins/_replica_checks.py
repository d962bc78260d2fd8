"""Comparing source and replica, and repairing either from the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.blobstore import BlobStore
from gateway.domain import replicalog as layout
from gateway.domain.errors import NotFound
from gateway.domain.events import node_to_json, version_to_json
from gateway.domain.replay import Space
from gateway.domain.replicalog import Blob
from gateway.hooks import PluginContext
from plugins._replica import Replica, blobs_of, is_intact
from plugins._replica_keeping import Keeper

Say = Callable[[str], None]
_SHOWN = 20


@dataclass
class Findings:
    """``problems``: a line each; the others: how many were compared."""

    blobs: int = 0
    events: int = 0
    nodes: int = 0
    acts: int = 0
    papers: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Repairs:
    """``copied`` blobs to the replica, ``fetched`` back to the source, ``lost``: ids that neither side has. ``acts``:
    objects of the audit log and what stands beside it that were not what the source says."""

    blobs: int = 0
    copied: int = 0
    fetched: int = 0
    checkpoints: int = 0
    acts: int = 0
    lost: list[str] = field(default_factory=list)


def verify(context: PluginContext, replica: Replica, *, quick: bool = False) -> Findings:
    """Compares every blob that a version names (by digest, or by size if ``quick``), every space as it can be rebuilt
    from the replica with the source at the same event, the chain of acts, policies and papers. What waits in the outbox
    is no problem."""
    findings = Findings()
    waiting = _waiting(context)
    for blob in _source_blobs(context):
        findings.blobs += 1
        there = replica.has(blob, ask=True) if quick else replica.intact(blob)
        if not there and blob.id not in waiting:
            findings.problems.append(f"blob {blob.id}: missing in the replica or not as it was committed")
    for one in context.services.snapshots.progress(context.name):
        _compare(context, replica, one, findings)
    _compare_acts(context, replica, findings)
    _compare_states(context, replica, findings)
    return findings


def _waiting(context: PluginContext) -> set[str]:
    """Blobs of events that are not replicated yet."""
    found: set[str] = set()
    for one in context.services.snapshots.progress(context.name):
        for event in context.services.snapshots.events(one.tenant_id, one.seq):
            found |= {blob.id for blob in blobs_of(event)}
    return found


def _compare(context: PluginContext, replica: Replica, progress: Any, findings: Findings) -> None:
    reader = context.services.restoring.reader(replica.store)
    rebuilt: Space | None = reader.space(progress.tenant)
    findings.problems += reader.warnings
    if rebuilt is None:
        if progress.seq:
            findings.problems.append(f"{progress.tenant}: the replica has nothing to rebuild the space from")
        return
    if rebuilt.seq < progress.seq:
        findings.problems.append(
            f"{progress.tenant}: the space can be rebuilt up to event {rebuilt.seq}, replicated was {progress.seq}"
        )
        return
    source = _snapshot(context, progress.tenant_id, progress.tenant)
    for event in context.services.snapshots.events(progress.tenant_id, rebuilt.seq):
        if event.seq <= source.seq:
            rebuilt.apply(event)
    findings.events += rebuilt.seq
    if rebuilt.seq == source.seq:
        findings.problems += _differences(progress.tenant, source, rebuilt, findings)


def _compare_acts(context: PluginContext, replica: Replica, findings: Findings) -> None:
    """Act by act, as far as they were replicated."""
    snapshots = context.services.snapshots
    until = snapshots.acts_progress(context.name).seq
    reader = context.services.restoring.reader(replica.store)
    for acts in reader.acts():
        wrong = [
            act.seq for act, own in zip(acts, snapshots.acts(acts[0].seq - 1, len(acts)), strict=False) if act != own
        ]
        findings.acts += len(acts)
        findings.problems += [f"act {seq}: the replica has another than the source" for seq in wrong[:1]]
    findings.problems += reader.warnings
    if findings.acts < until:
        findings.problems.append(f"acts: {findings.acts} follow each other in the replica, {until} were replicated")


def _compare_states(context: PluginContext, replica: Replica, findings: Findings) -> None:
    """Policies and papers. Those of acts that wait are no problem."""
    snapshots = context.services.snapshots
    reader = context.services.restoring.reader(replica.store)
    wanted = {layout.POLICIES: snapshots.policies()}
    wanted |= {layout.PAPERS + name: snapshots.papers(name) for name in snapshots.contracts()}
    wanted |= {name: [] for name in reader.states(layout.PAPERS) if name not in wanted}
    waiting = snapshots.acts_progress(context.name)
    findings.papers += len(wanted) - 1
    for name in reader.states(layout.USAGE):
        reader.state(name)  # warns of a damaged one; the newest figures are always on their way
    if waiting.seq == waiting.last_seq:
        wrong = sorted(name for name, lines in wanted.items() if reader.state(name) != lines)
        findings.problems += [f"{name}: the replica has others than the source" for name in wrong]
    findings.problems += reader.warnings


def _snapshot(context: PluginContext, tenant_id: int, name: str) -> Space:
    space = Space(tenant_id, name)

    class _Lines:
        def write(self, block: bytes, /) -> None:
            line = layout.parse_line(block)
            if "sha256" not in line:
                space.load(line)

    context.services.snapshots.write(tenant_id, _Lines())
    return space


def _differences(name: str, source: Space, rebuilt: Space, findings: Findings) -> list[str]:
    here, there = _plain(source), _plain(rebuilt)
    findings.nodes += len(here)
    found = [f"{name}: {what} is at the source only" for what in sorted(set(here) - set(there))]
    found += [f"{name}: {what} is in the replica only" for what in sorted(set(there) - set(here))]
    found += [f"{name}: {what} differs" for what in sorted(set(here) & set(there)) if here[what] != there[what]]
    return found[:_SHOWN] + ([f"{name}: and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else [])


def _plain(space: Space) -> dict[str, Any]:
    """Everything of a space that a restore brings back, by name."""
    found: dict[str, Any] = {"the tenant": space.tenant}
    found |= {f"user {user_id}": user for user_id, user in space.users.items()}
    found |= {f"{record_set} {record_id}": record for (record_set, record_id), record in space.records.items()}
    for kept in space.reachable():
        previous = version_to_json(kept.previous) if kept.previous else None
        found[f"node {kept.node.id}"] = (node_to_json(kept.node), previous)
    return found


def resync(
    context: PluginContext,
    replica: Replica,
    keeper: Keeper,
    *,
    adopt: bool = False,
    quick: bool = False,
    say: Say,
) -> Repairs:
    """Repairs after the loss of either side: blobs are copied to where they are missing or damaged, every space gets a
    new checkpoint, from which the log goes on, and acts, policies and papers become what they are at the source."""
    replica.claim(context.services.snapshots.installation(), adopt=adopt)
    repairs = Repairs()
    for blob in _source_blobs(context):
        repairs.blobs += 1
        _repair(context.blobs, replica, blob, repairs, quick=quick)
        if repairs.blobs % 1000 == 0:
            say(f"{repairs.blobs} blobs compared")
    repairs.acts = keeper.acts.resync(replica)
    known = replica.inventory().checkpoints
    for one in context.services.snapshots.progress(context.name):
        lost = keeper.seed(replica, known.setdefault(one.tenant, []), one.tenant_id)
        repairs.checkpoints += 1
        repairs.lost += [blob.id for blob in lost if blob.id not in repairs.lost]
        say(f"{one.tenant}: checkpoint at event {known[one.tenant][-1].seq}")
        keeper.usage.resync(replica, one.tenant_id, one.tenant)
    return repairs


def _repair(source: BlobStore, replica: Replica, blob: Blob, repairs: Repairs, *, quick: bool) -> None:
    at_source = _has(source, blob) if quick else is_intact(source, blob.id, blob)
    at_replica = replica.has(blob, ask=True) if quick else replica.intact(blob)
    if at_source and not at_replica:
        repairs.copied += replica.copy_anew(blob, source)
    elif at_replica and not at_source:
        repairs.fetched += replica.give_back(blob, source)
    elif not at_source:
        repairs.lost.append(blob.id)


def _has(store: BlobStore, blob: Blob) -> bool:
    try:
        return store.stat(blob.id).size == blob.size
    except NotFound:
        return False


def _source_blobs(context: PluginContext) -> list[Blob]:
    return [Blob(*one) for one in context.services.snapshots.blobs()]
