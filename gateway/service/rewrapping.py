"""A change of the master key: everything that the previous one wrapped is wrapped anew, while the gateway serves.

The keys of sealed storages and replicas are wrapped by the master keys of their own settings, the secrets of access
keys by that of the gateway. What is wrapped stays as it is: no blob is written again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from gateway.blobstore import Rewrapped
from gateway.service.accesskeys import AccessKeys
from gateway.service.erasures import Erasures

ACCESS_KEYS = "access keys"

Say = Callable[[str, Rewrapped], None]
Place = Callable[[Callable[[Rewrapped], None]], Rewrapped]


class Rewrapping:
    """``places`` gives what keeps wrapped keys, by name."""

    def __init__(self, places: Callable[[], Mapping[str, Place]], accesskeys: AccessKeys, erasures: Erasures) -> None:
        self._places = places
        self._accesskeys = accesskeys
        self._erasures = erasures

    def run(self, who: str, say: Say = lambda _place, _done: None) -> dict[str, Rewrapped]:
        """Wraps everything anew; returns what was done in each place. BackendUnavailable and Unavailable: run it again
        then, it goes on where it was."""
        done = {name: place(partial(say, name)) for name, place in self._places().items()}
        self._erasures.repeat()
        done[ACCESS_KEYS] = self._accesskeys.rewrap(who)
        say(ACCESS_KEYS, done[ACCESS_KEYS])
        return done
