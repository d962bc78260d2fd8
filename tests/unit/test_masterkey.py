"""The master key: where it comes from, what it wraps, and that it is made once."""

from __future__ import annotations

import base64
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ConfigError, load
from gateway.masterkey import MasterKey, WrongKey, load_key_ring, load_master_key, parse_key

KEY = bytes(range(32))


@given(st.binary(max_size=200), st.text(max_size=30))
def test_what_was_wrapped_is_unwrapped_for_its_purpose_only(secret: bytes, purpose: str) -> None:
    wrapped = MasterKey(KEY).wrap(secret, purpose)
    assert MasterKey(KEY).unwrap(wrapped, purpose) == secret
    with pytest.raises(WrongKey):
        MasterKey(KEY).unwrap(wrapped, purpose + "x")
    with pytest.raises(WrongKey):
        MasterKey(bytes(32)).unwrap(wrapped, purpose)
    assert MasterKey(KEY).wrap(secret, purpose) != wrapped


@given(st.data())
def test_no_changed_bit_is_unwrapped(data: st.DataObject) -> None:
    wrapped = bytearray(MasterKey(KEY).wrap(b"a secret", "test"))
    bit = data.draw(st.integers(0, len(wrapped) * 8 - 1))
    wrapped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WrongKey):
        MasterKey(KEY).unwrap(bytes(wrapped), "test")
    with pytest.raises(WrongKey):
        MasterKey(KEY).unwrap(bytes(wrapped)[: data.draw(st.integers(0, len(wrapped) - 1))], "test")


@pytest.mark.parametrize("content", [KEY, KEY.hex().encode() + b"\n", base64.b64encode(KEY) + b"\n"])
def test_a_key_is_raw_or_hex_or_base64(content: bytes) -> None:
    assert parse_key(content, "x") == KEY


@pytest.mark.parametrize("content", [b"", b"short", KEY + b"!", KEY.hex().encode()[:-2], b"password" * 8])
def test_what_is_no_key_is_refused_and_not_shown(content: bytes) -> None:
    with pytest.raises(ValueError, match="the place is no key") as refusal:
        parse_key(content, "the place")
    assert not content or content.decode("latin-1") not in str(refusal.value)


def test_a_key_comes_from_a_file_the_environment_or_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = MasterKey(KEY).wrap(b"secret", "test")
    (tmp_path / "key").write_text(KEY.hex())
    monkeypatch.setenv("VAULT_KEY", KEY.hex())
    printing = [sys.executable, "-c", f"print('{KEY.hex()}')"]
    for settings in ({"file": "key"}, {"env": "VAULT_KEY"}, {"command": printing}):
        assert load_master_key(settings, tmp_path).unwrap(wrapped, "test") == b"secret"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "one source"),
        ({"file": "a", "env": "B"}, "one source"),
        ("text", "one source"),
        ({"file": "missing"}, "No such file"),
        ({"file": 7}, "no text"),
        ({"env": "KURADO_NO_SUCH"}, "not set"),
        ({"command": []}, "a program"),
        ({"command": "/no/such/program"}, "FileNotFoundError"),
        ({"command": "false"}, "status 1"),
        ({"command": "echo nothing"}, "no key"),
    ],
)
def test_a_source_that_gives_no_key_is_told(settings: object, why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=why):
        load_master_key(settings, tmp_path)


def test_without_settings_a_key_is_made_once_for_all_processes(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = [one.result() for one in [pool.submit(load_master_key, None, tmp_path) for _ in range(8)]]
    wrapped = keys[0].wrap(b"secret", "test")
    assert all(key.unwrap(wrapped, "test") == b"secret" for key in keys)
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600


def test_gateway_yaml_names_one_source(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("version: 1\nplugins: []\nmaster_key: {file: secrets/key}\n")
    assert load(file, {}).master_key == {"file": str(tmp_path / "secrets/key")}
    with pytest.raises(ConfigError, match="single source"):
        load(file, {"KURADO_MASTER_KEY_ENV": "X"})
    file.write_text("version: 1\nplugins: []\n")
    assert load(file, {}).master_key is None
    assert load(file, {"KURADO_MASTER_KEY_ENV": "X"}).master_key == {"env": "X"}
    file.write_text("version: 1\nplugins: []\nmaster_key: {fil: x}\n")
    with pytest.raises(ConfigError, match="master_key"):
        load(file, {})


def test_a_ring_wraps_by_the_current_key_and_opens_what_the_previous_one_wrapped(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"n" * 32)
    (tmp_path / "old").write_bytes(KEY)
    ring = load_key_ring({"file": "new"}, {"file": "old"}, tmp_path)
    new, wrapped = load_key_ring({"file": "new"}, None, tmp_path), MasterKey(KEY).wrap(b"secret", "test")
    assert ring.unwrap(wrapped, "test") == b"secret"
    with pytest.raises(WrongKey):
        new.unwrap(wrapped, "test")
    anew = ring.rewrap(wrapped, "test")
    assert anew is not None
    assert new.unwrap(anew, "test") == new.unwrap(ring.wrap(b"secret", "test"), "test") == b"secret"
    assert ring.rewrap(anew, "test") is None
    with pytest.raises(WrongKey):
        ring.rewrap(wrapped, "another purpose")
    with pytest.raises(ValueError, match=r"previous_master_key\.file"):
        load_key_ring({"file": "new"}, {"file": "missing"}, tmp_path)
