"""``approvers`` of gateway.yaml: who may be the second person where the rules demand two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def approvers_config(value: Any) -> Mapping[str, str]:
    """Name → hash of the passphrase, as ``kurado breakglass passphrase`` prints it. ValueError."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError("write `NAME: HASH` lines; `kurado breakglass passphrase` makes the hash")
    for name, hashed in value.items():
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{name!r} is no name")
        if not isinstance(hashed, str) or not hashed.startswith("$argon2id$"):
            raise ValueError(f"of {name} stands no hash: `kurado breakglass passphrase` makes one")
    return dict(value)
