"""Writes the board into its folder: whole files, each replaced at once, whenever something changed and once a minute.

What was published, and when, is an act (``board.published``): a post counts from the time at which it could be read.
What the rules hang on a post is recorded with it: the status site's notice of an outage (SLA-ON-01), the web post of a
discontinuation (DSC-02).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.board.model import INCIDENT, Board, PublicActs, build
from gateway.board.rendering import Pages, Site
from gateway.board.serving import Served
from gateway.domain.acts import GENESIS, Act
from gateway.domain.contract.windows import Windows
from gateway.domain.errors import KuradoError, Unavailable
from gateway.service.contracts.book import SYSTEM
from gateway.service.folded import Folded
from gateway.service.unit_of_work import Database, Tx

SUBJECT, PUBLISHED, NOTIFIED = "board", "board.published", "incident.notified"
ALARM = "board"
HEARTBEAT_MS = 60_000
_NOTICES = {"incident.recognised": "occurrence", "incident.recovered": "recovery", "incident.cause_reported": "cause"}
_DISCONTINUED = "discontinuation/"

log = logging.getLogger("kurado.board")


def _published(known: Mapping[str, int], act: Act) -> Mapping[str, int]:
    return {**known, **act.data["entries"]} if act.kind == PUBLISHED else known


class BoardWriter:
    """``posted`` is told of a discontinuation that stands on the web site: its number and since when."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        folder: Path,
        site: Callable[[str], Site],
        windows: Callable[[], Windows],
        incidents: Callable[[], Sequence[Mapping[str, Any]]],
        posted: Callable[[str, int], object],
    ) -> None:
        self._db = db
        self._clock = clock
        self.folder = folder
        self._site = site
        self._windows = windows
        self._incidents = incidents
        self._posted = posted
        self._acts: Folded[PublicActs] = Folded(db, PublicActs(), PublicActs.after)
        self._known: Folded[Mapping[str, int]] = Folded(db, {}, _published)
        self._pages = Pages()
        self.served = Served(folder, self.refresh)
        self._written: Board | None = None
        self._written_at = 0
        self._failed = False

    def board(self) -> Board:
        """The board as of now."""
        return build(self._clock(), self._acts.now(), self._windows(), self._incidents())

    def run(self, *, anyway: bool = False) -> bool:
        """Writes when it is time; returns False: the next look is a second later. For the steward."""
        now, board = self._clock(), self.board()
        is_old = not 0 <= now - self._written_at < HEARTBEAT_MS
        if not anyway and not is_old and board == self._written:
            return False
        try:
            self._write(self._render(board, now))
        except OSError as error:
            self._fails(error)
            return False
        self._works()
        self._written, self._written_at = board, now
        self._note(board)
        return False

    def refresh(self) -> None:
        """Writes the board for this machine where its folder is old: the steward works on another one, or is dead.
        What that publishes is not recorded. BackendUnavailable, OSError."""
        self._write(self._render(self.board(), self._clock()))

    def _render(self, board: Board, now: int) -> dict[str, bytes]:
        return self._pages.render(board, self._site(self._token()), now)

    def _write(self, files: Mapping[str, bytes]) -> None:
        """Each file is whole at every instant, also after a power cut."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            part = self.folder / f".{name}.{os.getpid()}.part"
            descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.folder / name)

    # -- what was published -------------------------------------------------------------------------------------------

    def _note(self, board: Board) -> None:
        """Records what became public with this writing."""
        known = self._known.now()
        new = {one.id: one.updated_at for one in board.entries if known.get(one.id) != one.updated_at}
        if not new:
            return
        now = self._clock()

        def work(tx: Tx) -> None:
            tx.acts.append(
                Act(SUBJECT, PUBLISHED, now, SYSTEM.name, str(SYSTEM.role), "ACC-03", data={"entries": new, "at": now})
            )
            for name in new:
                if name.startswith("incident/"):
                    _notify(tx, name.partition("/")[2], now)

        self._db.write(work).result()
        for name in new:
            if name.startswith(_DISCONTINUED):
                self._tell_posted(name.removeprefix(_DISCONTINUED), now)

    def _tell_posted(self, number: str, at: int) -> None:
        try:
            self._posted(number, at)
        except Unavailable:
            raise
        except KuradoError as error:
            log.warning("a post has no effect", extra={"discontinuation": number, "reason": error.message})

    def _token(self) -> str:
        """Of this installation, for ever: from the digest of its first act."""
        first = self._db.read(lambda tx: tx.acts.after(0, 1))
        return hashlib.sha256((first[0].digest if first else GENESIS).encode()).hexdigest()[:12]

    # -- trouble ------------------------------------------------------------------------------------------------------

    def _fails(self, error: OSError) -> None:
        if not self._failed:
            log.error("the board cannot be written", extra={"folder": str(self.folder), "reason": error.strerror})
            now, message = self._clock(), f"the board cannot be written to {self.folder}: {error.strerror}"
            self._db.write(lambda tx: tx.system.alarm(ALARM, "folder", message, now)).result()
        self._failed = True

    def _works(self) -> None:
        if self._failed or self._written is None:
            for part in self.folder.glob(".*.part"):  # of a writer that was killed
                part.unlink(missing_ok=True)
            now = self._clock()
            with contextlib.suppress(KuradoError):
                self._db.write(lambda tx: tx.system.alarm(ALARM, "folder", None, now)).result()
        self._failed = False


def _notify(tx: Tx, incident: str, now: int) -> None:
    """SLA-ON-01: the status site has told what was recorded of an outage until now, each the first time."""
    told = tx.acts.of_subject(INCIDENT + incident)
    given = {act.data.get("what") for act in told if act.kind == NOTIFIED and act.data.get("channel") == "status_site"}
    for kind, what in _NOTICES.items():
        first = next((act for act in told if act.kind == kind), None)
        if first is None or what in given:
            continue
        data = {"what": what, "channel": "status_site", "at": now}
        tx.acts.append(
            Act(
                INCIDENT + incident, NOTIFIED, now, SYSTEM.name, str(SYSTEM.role), "SLA-ON-01", first.tenant_id,
                data=data,
            )
        )  # fmt: skip
