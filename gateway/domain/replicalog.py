"""How a replica lies in a storage backend: blobs, and for each tenant a log of events with checkpoints (DESIGN 9).

===============================================  ======================================================================
key                                              object
===============================================  ======================================================================
b/<blob id>                                      a blob, byte for byte
t/<tenant>/log/<first>-<last>.jsonl              events first to last of the tenant, a line each
t/<tenant>/checkpoint/<seq>.<made at>.jsonl      the whole space after event seq: tenant, users, nodes parents first
kurado/owner.<installation>                      the installation whose replica this is
kurado/policies.<made at>                        all policy documents and which are in force
kurado/seen.<at>                                 how far each tenant's log was, here and at the source
===============================================  ======================================================================

Objects are written once and never changed. All but blobs are lines of JSON: a header, the lines, and a last line with
the SHA-256 of everything before it, so that a damaged or cut object is known as such. Numbers in keys have 15 digits.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Protocol

from gateway.domain.acts import Act
from gateway.domain.events import Event

LOG_FORMAT = "kurado-log/1"
CHECKPOINT_FORMAT = "kurado-checkpoint/1"
ACTS_FORMAT = "kurado-acts/1"
STATE_FORMAT = "kurado-state/1"
OWNER_FORMAT = "kurado-owner/1"

BLOBS = "b/"
OWNER = "kurado/owner."
ACTS = "kurado/acts/"
STATES = "kurado/"
POLICIES = "policies"
SEEN = "seen"
PAPERS = "papers/"
USAGE = "usage/"
_ACTS = re.compile(r"kurado/acts/(\d{15})-(\d{15})\.jsonl")
_STATE = re.compile(r"kurado/(.+)\.(\d{15})\.([0-9a-f]{16})")
_LOG = re.compile(r"t/([^/]+)/log/(\d{15})-(\d{15})\.jsonl")
_CHECKPOINT = re.compile(r"t/([^/]+)/checkpoint/(\d{15})\.(\d{15})\.jsonl")
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Blob:
    """What a version says of its blob: ``sha256`` in hex."""

    id: str
    size: int
    sha256: str

    @property
    def key(self) -> str:
        """Its key in a replica."""
        return BLOBS + self.id


class WrongBytes(Exception):
    """A blob does not have the size or digest that its version says."""


class Damaged(Exception):
    """An object that is not what was written: cut, changed, or of another format. The message names what is wrong."""


@dataclass(frozen=True, slots=True, order=True)
class LogKey:
    tenant: str
    first: int
    last: int

    @property
    def key(self) -> str:
        return f"t/{self.tenant}/log/{self.first:015d}-{self.last:015d}.jsonl"


@dataclass(frozen=True, slots=True, order=True)
class CheckpointKey:
    tenant: str
    seq: int
    made_at: int

    @property
    def key(self) -> str:
        return f"t/{self.tenant}/checkpoint/{self.seq:015d}.{self.made_at:015d}.jsonl"


@dataclass(frozen=True, slots=True, order=True)
class ActsKey:
    first: int
    last: int

    @property
    def key(self) -> str:
        return f"kurado/acts/{self.first:015d}-{self.last:015d}.jsonl"


@dataclass(frozen=True, slots=True, order=True)
class StateKey:
    """``digest`` tells whether what the source has now is there already."""

    name: str
    made_at: int
    digest: str

    @property
    def key(self) -> str:
        return f"kurado/{self.name}.{self.made_at:015d}.{self.digest}"


def checked(stream: BinaryIO, blob: Blob) -> Iterator[bytes]:
    """The blocks of a blob; WrongBytes after the last one when they are not its bytes."""
    digest, size = hashlib.sha256(), 0
    while block := stream.read(_BLOCK):
        digest.update(block)
        size += len(block)
        yield block
    if size != blob.size or (blob.sha256 and digest.hexdigest() != blob.sha256):
        raise WrongBytes(blob.id)


def parse_key(key: str) -> LogKey | CheckpointKey | ActsKey | StateKey | None:
    """The key of an object that is no blob; None for any other."""
    if found := _LOG.fullmatch(key):
        return LogKey(found[1], int(found[2]), int(found[3]))
    if found := _CHECKPOINT.fullmatch(key):
        return CheckpointKey(found[1], int(found[2]), int(found[3]))
    if found := _ACTS.fullmatch(key):
        return ActsKey(int(found[1]), int(found[2]))
    if found := _STATE.fullmatch(key):
        return StateKey(found[1], int(found[2]), found[3])
    return None


# -- sealed objects ---------------------------------------------------------------------------------------------------


class Sink(Protocol):
    def write(self, block: bytes, /) -> Any: ...


class Sealer:
    """Writes a sealed object to ``sink`` line by line; ``close`` adds the last line."""

    def __init__(self, sink: Sink, header: Mapping[str, Any]) -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        self._lines = 0
        self.add(header)

    def add(self, value: Mapping[str, Any]) -> None:
        line = _line(value)
        self._digest.update(line)
        self._sink.write(line)
        self._lines += 1

    def close(self) -> None:
        self._sink.write(_line({"sha256": self._digest.hexdigest(), "lines": self._lines}))


def sealed(header: Mapping[str, Any], lines: Iterable[Mapping[str, Any]]) -> bytes:
    """A small sealed object as bytes."""
    blocks: list[bytes] = []

    class _Blocks:
        def write(self, block: bytes, /) -> None:
            blocks.append(block)

    sealer = Sealer(_Blocks(), header)
    for line in lines:
        sealer.add(line)
    sealer.close()
    return b"".join(blocks)


def unsealed(stream: BinaryIO, expected_format: str) -> Iterator[dict[str, Any]]:
    """The header and the lines of a sealed object. Damaged may come at any time, at the latest after the last line:
    nothing may be believed before the iterator has ended."""
    digest, count, before = hashlib.sha256(), 0, None
    for line in _lines(stream):
        if before is not None:
            digest.update(before)
            value = parse_line(before)
            if count == 0 and value.get("format") != expected_format:
                raise Damaged(f"the format is {value.get('format')!r} instead of {expected_format!r}")
            count += 1
            yield value
        before = line
    if before is None or not before.endswith(b"\n"):
        raise Damaged("the object is cut off")
    seal = parse_line(before)
    if seal != {"sha256": digest.hexdigest(), "lines": count}:
        raise Damaged("the object does not have the digest that it was sealed with")


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def parse_line(line: bytes) -> dict[str, Any]:
    """One line of a sealed object; Damaged."""
    try:
        value = json.loads(line)
    except ValueError:
        raise Damaged("a line is no JSON") from None
    if not isinstance(value, dict):
        raise Damaged("a line is no object")
    return value


# -- events -----------------------------------------------------------------------------------------------------------


def log_object(events: Iterable[Event]) -> tuple[LogKey, bytes]:
    """Consecutive events of one tenant as one object."""
    events = list(events)
    key = LogKey(events[0].tenant, events[0].seq, events[-1].seq)
    header = {"format": LOG_FORMAT, "tenant": key.tenant, "first": key.first, "last": key.last}
    return key, sealed(header, (event_to_json(event) for event in events))


def read_log(stream: BinaryIO, key: LogKey) -> list[Event]:
    """The events of a log object; Damaged when they are not those that the key names."""
    header, *lines = unsealed(stream, LOG_FORMAT)
    events = [event_from_json(line) for line in lines]
    if [event.seq for event in events] != list(range(key.first, key.last + 1)) or header.get("tenant") != key.tenant:
        raise Damaged("it holds other events than its name says")
    return events


def event_to_json(event: Event) -> dict[str, Any]:
    return {
        "tenant_id": event.tenant_id,
        "tenant": event.tenant,
        "seq": event.seq,
        "at": event.at,
        "kind": event.kind,
        "actor": event.actor,
        "used_bytes": event.used_bytes,
        "used_files": event.used_files,
        "data": dict(event.data),
    }


def event_from_json(data: Mapping[str, Any]) -> Event:
    try:
        return Event(**data)
    except TypeError as error:
        raise Damaged(f"an event has other fields: {error}") from None


# -- acts -------------------------------------------------------------------------------------------------------------


def acts_object(acts: Sequence[Act]) -> tuple[ActsKey, bytes]:
    """Consecutive acts as one object."""
    key = ActsKey(acts[0].seq, acts[-1].seq)
    header = {"format": ACTS_FORMAT, "first": key.first, "last": key.last}
    return key, sealed(header, (act_to_json(act) for act in acts))


def read_acts(stream: BinaryIO, key: ActsKey) -> list[Act]:
    """The acts of an object; Damaged when they are not those that the key names."""
    _, *lines = unsealed(stream, ACTS_FORMAT)
    acts = [act_from_json(line) for line in lines]
    if [act.seq for act in acts] != list(range(key.first, key.last + 1)):
        raise Damaged("it holds other acts than its name says")
    return acts


def act_to_json(act: Act) -> dict[str, Any]:
    """``data`` is JSON text, so that it comes back with its keys in the order in which they were recorded."""
    return {**asdict(act), "data": json.dumps(dict(act.data), ensure_ascii=False)}


def act_from_json(line: Mapping[str, Any]) -> Act:
    try:
        return Act(**{**line, "data": json.loads(line["data"])})
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"an act has other fields: {error}") from None


# -- states -----------------------------------------------------------------------------------------------------------


def state_object(name: str, made_at: int, lines: Iterable[Mapping[str, Any]]) -> tuple[StateKey, bytes]:
    """The newest state of something, as an object. The same lines have the same digest at any time."""
    content = sealed({"format": STATE_FORMAT, "state": name}, lines)
    return StateKey(name, made_at, hashlib.sha256(content).hexdigest()[:16]), content


def read_state(stream: BinaryIO, key: StateKey) -> list[dict[str, Any]]:
    """The lines of a state; Damaged when it is another's."""
    header, *lines = unsealed(stream, STATE_FORMAT)
    if header.get("state") != key.name:
        raise Damaged("it holds another state than its name says")
    return lines


def usage_name(tenant: str, slot: int) -> str:
    """The state with a tenant's figures of a slot; names of later slots sort after it."""
    return f"{USAGE}{tenant}/{slot:05d}"
