"""The master key: wraps the keys and secrets that the gateway keeps, and lies outside of everything that it protects.

Settings name one source: ``{file: PATH}``, ``{env: NAME}`` or ``{command: WORDS}`` (which prints the key; for a vault
or an HSM). A key is 32 bytes, as they are, as 64 hex digits or in base64. Without settings it is ``master.key`` in the
gateway's folder, made when it is first needed. Whoever loses the key loses what it wrapped: keep a copy elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
DEFAULT_FILE = "master.key"
COMMAND_SECONDS = 20.0
_SOURCES = ("file", "env", "command")
_VERSION = b"\x01"
_NONCE_BYTES = 12


class WrongKey(ValueError):
    """Wrapped bytes that were wrapped by another master key, for another purpose, or changed since."""


class MasterKey:
    """Wraps with AES-256-GCM (NIST SP 800-38D) under keys derived for each purpose; nonces are random, so a purpose
    may wrap some 2**32 secrets."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def wrap(self, secret: bytes, purpose: str) -> bytes:
        """``purpose`` says what the secret is for and is needed to unwrap it; it is not secret and not stored."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher(purpose).encrypt(nonce, secret, _VERSION)

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        """WrongKey unless it was wrapped by this key for this purpose."""
        version, nonce, content = wrapped[:1], wrapped[1 : 1 + _NONCE_BYTES], wrapped[1 + _NONCE_BYTES :]
        if version != _VERSION or len(nonce) != _NONCE_BYTES:
            raise WrongKey("this is nothing that a master key wrapped")
        try:
            return self._cipher(purpose).decrypt(nonce, content, version)
        except InvalidTag:
            raise WrongKey("another master key wrapped this, or it was changed") from None

    def fingerprint(self) -> bytes:
        """The same 16 bytes for the same key, from which nothing of it can be learnt: tells keys apart."""
        return self._derive("kurado fingerprint")[:16]

    def _cipher(self, purpose: str) -> AESGCM:
        return AESGCM(self._derive("kurado wrap\0" + purpose))

    def _derive(self, info: str) -> bytes:
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=info.encode()).derive(self._key)


class KeyRing:
    """The key that wraps, and those in use before it, which still open what they wrapped until it is wrapped anew."""

    def __init__(self, current: MasterKey, *previous: MasterKey) -> None:
        self.current = current
        self.keys = (current, *previous)

    def wrap(self, secret: bytes, purpose: str) -> bytes:
        return self.current.wrap(secret, purpose)

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        """WrongKey unless one of the keys wrapped it for this purpose."""
        for key in self.keys[:-1]:
            with contextlib.suppress(WrongKey):
                return key.unwrap(wrapped, purpose)
        return self.keys[-1].unwrap(wrapped, purpose)

    def rewrap(self, wrapped: bytes, purpose: str) -> bytes | None:
        """The same secret wrapped by the current key; None when it is so already. WrongKey."""
        with contextlib.suppress(WrongKey):
            self.current.unwrap(wrapped, purpose)
            return None
        return self.wrap(self.unwrap(wrapped, purpose), purpose)


def load_key_ring(settings: object, previous: object, data_dir: Path) -> KeyRing:
    """The master key that ``settings`` name, and the one before it where ``previous`` is not None. ValueError as
    :func:`load_master_key`."""
    current = load_master_key(settings, data_dir)
    if previous is None:
        return KeyRing(current)
    try:
        return KeyRing(current, load_master_key(previous, data_dir))
    except ValueError as error:
        raise ValueError(f"previous_{error}") from error


def load_master_key(settings: object, data_dir: Path) -> MasterKey:
    """The key that ``settings`` name; a relative path lies below ``data_dir``. ValueError says what is wrong with the
    settings, the source, or the key, and never shows the key."""
    if settings is None:
        return MasterKey(_own_file(data_dir / DEFAULT_FILE))
    if not isinstance(settings, Mapping) or len(settings) != 1 or next(iter(settings)) not in _SOURCES:
        raise ValueError("master_key: name one source: {file: PATH}, {env: NAME} or {command: WORDS}")
    source, value = next(iter(settings.items()))
    if source == "command":
        return MasterKey(parse_key(_from_command(value), "what the command printed"))
    if not isinstance(value, str) or not value:
        raise ValueError(f"master_key.{source}: {value!r} is no text")
    if source == "env":
        return MasterKey(parse_key(_from_environment(value), f"${value}"))
    return MasterKey(parse_key(_from_file(data_dir / Path(value).expanduser()), value))


def parse_key(content: bytes, where: str) -> bytes:
    """32 raw bytes, 64 hex digits, or base64 of 32 bytes; ValueError that names ``where``."""
    if len(content) == KEY_BYTES:
        return content
    text = content.strip()
    with contextlib.suppress(ValueError):
        if len(key := bytes.fromhex(text.decode("ascii"))) == KEY_BYTES:
            return key
    with contextlib.suppress(binascii.Error):
        if len(key := base64.b64decode(text, validate=True)) == KEY_BYTES:
            return key
    raise ValueError(f"master_key: {where} is no key: 32 bytes, 64 hex digits or their base64 are one")


def _from_environment(name: str) -> bytes:
    value = os.environ.get(name)
    if not value:
        raise ValueError(f"master_key.env: the variable {name} is not set")
    return value.encode("utf-8", "surrogateescape")


def _from_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"master_key.file: {file}: {error.strerror}") from error


def _from_command(value: object) -> bytes:
    words = shlex.split(value) if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError("master_key.command: give a program with its arguments")
    try:
        done = subprocess.run(
            words, capture_output=True, stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"master_key.command: {words[0]}: {type(error).__name__}") from error
    if done.returncode:
        raise ValueError(f"master_key.command: {words[0]} ended with status {done.returncode}")
    return done.stdout


def _own_file(file: Path) -> bytes:
    """The key in the gateway's folder. It is written aside and linked into place, so that of two processes that begin
    at once one wins and nobody reads half a key; and flushed before anything is wrapped with it."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{secrets.token_hex(6)}")
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as new:
                new.write(secrets.token_hex(KEY_BYTES).encode() + b"\n")
                new.flush()
                os.fsync(new.fileno())
            with contextlib.suppress(FileExistsError):
                file.hardlink_to(part)
            folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(folder)
            os.close(folder)
        finally:
            part.unlink()
    return parse_key(_from_file(file), str(file))
