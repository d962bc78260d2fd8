"""How a replica lies in a backend: keys, sealed objects, and the promise that a damaged one is known as such."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.blobstore import check_key
from gateway.domain import events
from gateway.domain import replicalog as layout
from gateway.domain.acts import GENESIS, Act, chained, check_chain
from gateway.domain.events import Event
from gateway.domain.replay import _HANDLERS, Space
from gateway.domain.replicalog import ActsKey, Blob, CheckpointKey, Damaged, LogKey, StateKey
from plugins._replica import blobs_of

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
DATA = st.dictionaries(TEXT, JSON, max_size=4)


def chain(data: list[dict[str, Any]]) -> list[Act]:
    acts: list[Act] = []
    for number, one in enumerate(data, 1):
        act = Act(f"contract:c{number}", "contract.applied", 1000 + number, "ann", "operator", "APP-01", data=one)
        acts.append(chained(act, number, acts[-1].digest if acts else GENESIS))
    return acts


@pytest.mark.parametrize(
    "key",
    [
        LogKey("studio", 1, 62),
        CheckpointKey("a" * 63, 7, 1_800_000_000_000),
        ActsKey(1, 500),
        StateKey("policies", 1_800_000_000_000, "0123456789abcdef"),
        StateKey("papers/" + "b" * 63, 5, "0" * 16),
    ],
)
def test_keys_are_keys_of_any_backend_and_are_read_back(key: Any) -> None:
    assert layout.parse_key(check_key(key.key)) == key


@pytest.mark.parametrize("key", ["b/0123", "kurado/owner.0123456789abcdef", "kurado/acts/1-2.jsonl", "t/a/other/1"])
def test_what_is_no_key_of_these_is_none(key: str) -> None:
    assert layout.parse_key(key) is None


@given(st.lists(DATA, min_size=1, max_size=5))
def test_acts_come_back_with_their_digests_and_the_order_of_their_data(data: list[dict[str, Any]]) -> None:
    acts = chain(data)
    key, content = layout.acts_object(acts)
    back = layout.read_acts(io.BytesIO(content), key)
    assert back == acts
    assert [list(act.data) for act in back] == [list(act.data) for act in acts]
    assert check_chain(back, len(acts)) == (acts[-1].digest, None)


@given(st.lists(DATA, min_size=1, max_size=3), st.data())
def test_a_cut_or_changed_object_is_never_believed(data: list[dict[str, Any]], draw: Any) -> None:
    key, content = layout.acts_object(chain(data))
    at = draw.draw(st.integers(0, len(content) - 1))
    changed = content[:at] + bytes([content[at] ^ draw.draw(st.integers(1, 255))]) + content[at + 1 :]
    for wrong in (content[:at], changed):
        with pytest.raises(Damaged):
            layout.read_acts(io.BytesIO(wrong), key)


def test_an_object_under_the_name_of_another_is_not_believed() -> None:
    acts = chain([{}, {}])
    _, content = layout.acts_object(acts)
    with pytest.raises(Damaged):
        layout.read_acts(io.BytesIO(content), ActsKey(2, 3))
    key, content = layout.state_object("papers/acme", 1, [{"table": "customers"}])
    with pytest.raises(Damaged):
        layout.read_state(io.BytesIO(content), StateKey("papers/other", 1, key.digest))


@given(st.lists(DATA, max_size=3))
def test_a_state_has_the_same_digest_whenever_it_is_written(lines: list[dict[str, Any]]) -> None:
    early, content = layout.state_object("papers/acme", 1, lines)
    late, _ = layout.state_object("papers/acme", 2, lines)
    assert early.digest == late.digest
    assert layout.read_state(io.BytesIO(content), early) == lines
    assert layout.state_object("papers/acme", 1, [*lines, {"more": 1}])[0].digest != early.digest


def test_every_kind_of_event_is_known_to_a_restore() -> None:
    kinds = {value for name, value in vars(events).items() if name.isupper() and isinstance(value, str)}
    assert kinds == set(_HANDLERS)


def test_records_follow_their_events_and_checkpoints() -> None:
    space = Space(1, "studio")
    for seq, record in enumerate([{"a": 1}, {"a": 2}, None, {"a": 3}], 1):
        data = {"set": "keys", "id": "k", "record": record}
        space.apply(Event(1, "studio", seq, seq, events.RECORD_CHANGED, "ann", 0, 0, data))
        assert space.records == ({("keys", "k"): record} if record else {})
    again = Space(1, "studio")
    again.load({"set": "keys", "id": "k", "record": {"a": 3}})
    assert again.records == space.records


def test_a_record_with_a_version_names_a_blob_that_goes_before_it() -> None:
    def blobs(record: Any) -> list[Blob]:
        data = {"set": "kept", "id": "k", "record": record}
        return blobs_of(Event(1, "studio", 1, 1, events.RECORD_CHANGED, "ann", 0, 0, data))

    assert blobs({"version": {"blob_id": "0-1.2a", "size": 5, "sha256": "ab"}}) == [Blob("0-1.2a", 5, "ab")]
    for nothing in (None, {}, {"version": None}, {"version": 3}, {"version": {"blob_id": "", "size": 0, "sha256": ""}}):
        assert blobs(nothing) == []
