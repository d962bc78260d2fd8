"""Passwords as argon2id hashes.

Parameters are what the OWASP password storage cheat sheet asks for at least (19 MiB, 2 passes, 1 lane): some 20 ms.
Each hash in work takes that memory, so only as many as there are cores are computed at once; a flood of logins waits.
"""

from __future__ import annotations

import os
import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.domain.errors import BadRequest, RateLimited

MAX_LENGTH = 1024
_WAIT = 10.0
_GENERATED_BYTES = 15  # 120 bits, 20 characters

# the hash of random bytes that were thrown away, with the parameters below: for users that do not exist
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$/sX0LWcnA7A76Ba7jaWLYQ$u1vb87RqVtpp308nWDg2LM9AfeNUTTVo5u99Krkk5Ko"

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_turns = threading.BoundedSemaphore(os.cpu_count() or 1)


def new_password() -> str:
    """A password that nobody chose."""
    return secrets.token_urlsafe(_GENERATED_BYTES)


def hash_password(password: str) -> str:
    """The hash to store. BadRequest for an empty password or one above 1024 characters."""
    if not password or len(password) > MAX_LENGTH or "\x00" in password:
        raise BadRequest(f"a password has 1 to {MAX_LENGTH} characters")
    return _hasher.hash(_bytes(password))


def verify(password: str, password_hash: str | None) -> bool:
    """Whether the password belongs to the hash. With None (no such user) it takes as long and says no.

    RateLimited when too many logins are being verified already.
    """
    if not _turns.acquire(timeout=_WAIT):
        raise RateLimited("too many logins at once", retry_after=5)
    try:
        return (
            _hasher.verify(password_hash or _NOBODY, _bytes(password[: MAX_LENGTH + 1])) and password_hash is not None
        )
    except (VerificationError, InvalidHashError):
        return False
    finally:
        _turns.release()


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
