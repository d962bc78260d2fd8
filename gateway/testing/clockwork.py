"""Daemons and commands that go by a clock which a test sets: ``python -m gateway.testing.clockwork FILE [words]``.

The clock stands still until it is set again; all processes of a daemon look at FILE for it. Whoever moves it by more
than seconds while a daemon runs ends the leases of its processes: stop it before.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

from gateway import cli
from gateway.commands.app import Application
from gateway.daemon import wall_clock
from gateway.domain.calendar import JST, jst_date

_NOW = struct.Struct("<q")


class Timepiece:
    """The clock, in ms UTC; ``set`` moves it for everybody who has opened the same file."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(_NOW.pack(0))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), _NOW.size)

    def __call__(self) -> int:
        return int(_NOW.unpack(self._memory[:])[0])

    def set(self, moment: datetime) -> None:
        self._memory[:] = _NOW.pack(int(moment.timestamp() * 1000))

    def set_jst(self, day: date | str, hour: float = 9) -> None:
        """The hour of a day in Japan; a day may be given as ``2027-04-05``."""
        if isinstance(day, str):
            day = date.fromisoformat(day)
        self.set(datetime(day.year, day.month, day.day, tzinfo=JST) + timedelta(hours=hour))


def from_noon(day: date) -> Callable[[], int]:
    """A clock that goes, from noon of that day in Japan on: midnight does not come while a test runs."""
    ahead = int(datetime(day.year, day.month, day.day, 12, tzinfo=JST).timestamp() * 1000) - wall_clock()
    return lambda: wall_clock() + ahead


def lasting_today(seconds: float = 300) -> date:
    """The day in Japan, for a daemon on the real clock; it lasts so long at least, else the next one is awaited."""
    left = -(wall_clock() + 9 * 3_600_000) % 86_400_000 / 1000
    if left < seconds:
        time.sleep(left + 1)
    return jst_date(wall_clock())


def main() -> None:
    file, *words = sys.argv[1:]
    config = Path(words[words.index("--config") + 1])
    cli.cli.main(words, obj=Application(config, timepiece=Timepiece(Path(file))), prog_name="kurado")


if __name__ == "__main__":
    main()
