"""Sends the notices that wait, one after another, for ever: a mail server that is away delays them and nothing else.

A notice is recorded as sent when the server has accepted it (NTC-02). Only a crash between the acceptance and the
record, or a line cut before the server's answer, makes it unknown whether it was taken; it is sent again then, with the
same Message-ID, so that the recipient's server can tell.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.acts import GENESIS
from gateway.domain.contract.notices import BY_ARRIVAL
from gateway.domain.mailbox import BadAddress
from gateway.domain.notice import PREFIX, Notice, after, stale
from gateway.domain.notice_kinds import KINDS
from gateway.hooks import HealthFact
from gateway.service.notices.book import ALARM as NOTICE_ALARM
from gateway.service.notices.book import Notices, keep_template
from gateway.service.notices.letters import Letter
from gateway.service.notices.ports import (
    MailConnection,
    MailDeferred,
    Mailer,
    MailRefused,
    MailUnavailable,
)
from gateway.service.unit_of_work import Database, Tx

BATCH = 50
ALARM = "mail"
_FIRST_PAUSE, _LONGEST_PAUSE = 5_000, 900_000  # ms
_READ = 5_000
_SLOW_SECONDS, _LATE_SECONDS = 900, 3600
_WORRYING = 3  # tries after which an operator is told

log = logging.getLogger("kurado.notices")


@dataclass
class Pause:
    """How long something that failed waits: twice as long after each further failure."""

    tries: int = 0
    until: int = 0

    def failed(self, now: int) -> None:
        self.tries += 1
        self.until = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self.tries - 1, 20))


class Sending:
    """The steward's job. What waits is folded from the acts; how long it pauses is known to this process only."""

    def __init__(self, db: Database, clock: Callable[[], int], notices: Notices, mailer: Mailer | None) -> None:
        self._db = db
        self._clock = clock
        self._notices = notices
        self._mailer = mailer
        self._lock = threading.RLock()
        self._seq = 0
        self._waiting: dict[str, Notice] = {}
        self._server = Pause()
        self._pauses: dict[str, Pause] = {}
        self._token = ""
        self._has_sent = False

    def run(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Sends what is due; returns whether there is more to do at once."""
        self._look()
        if self._mailer is None or self._clock() < self._server.until:
            return False
        due = self._due()
        if not due:
            return False
        try:
            with self._mailer.connect() as connection:
                for notice in due[:BATCH]:
                    if stopping() or not connection.is_open:
                        return False
                    self._send(connection, notice)
                    self._server_answers()
        except MailUnavailable as error:
            self._server_fails(str(error))
            return False
        return len(due) > BATCH

    def health(self) -> HealthFact:
        """How long the oldest notice has waited: an outage must be told within the hour (SLA-ON-01)."""
        with self._lock:
            self._look()
            waiting = list(self._waiting.values())
        if not waiting:
            return HealthFact("notices", "ok", "no notice waits to be sent", 0.0)
        seconds = max(0, self._clock() - min(one.queued_at for one in waiting)) / 1000
        text = f"{len(waiting)} notices wait, the oldest for {seconds:.0f} s, see: kurado notice list"
        if self._mailer is None:
            return HealthFact("notices", "warning", f"{text}; no mail server is configured", seconds)
        level = "error" if seconds > _LATE_SECONDS else "warning" if seconds > _SLOW_SECONDS else "ok"
        return HealthFact("notices", level, text, seconds)

    # -- what waits ---------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Folds the acts that were added since; the check of the health looks from a thread of its own."""
        with self._lock:
            self._fold()

    def _fold(self) -> None:
        while acts := self._db.read(lambda tx: tx.acts.after(self._seq, _READ) if tx.acts.count() > self._seq else []):
            for act in acts:
                self._seq = act.seq
                if act.subject.startswith(PREFIX):
                    name = act.subject.removeprefix(PREFIX)
                    known = self._waiting.pop(name, None)
                    # only what waits is kept in memory: what is queued once more is read anew, as it stands now
                    one = self._notices.get(name) if act.kind == "notice.requeued" else after(known, act)
                    if one is not None and one.is_waiting:
                        self._waiting[name] = one
                    else:
                        self._pauses.pop(name, None)

    def _due(self) -> list[Notice]:
        now = self._clock()
        with self._lock:
            due = [one for one in self._waiting.values() if self._pause(one).until <= now]
        # those that failed before come last: one mail that no server takes holds up no other
        return sorted(due, key=lambda one: self._pause(one).tries)

    def _pause(self, notice: Notice) -> Pause:
        return self._pauses.get(notice.id) or Pause()

    # -- one notice ---------------------------------------------------------------------------------------------------

    def _send(self, connection: MailConnection, notice: Notice) -> None:
        settings = self._notices.letters.settings
        too_late = stale(notice, self._clock())
        if too_late:
            self._withdraw(notice, too_late)
            return
        try:
            letters = self._notices.letters.letter(notice, self._mark())
        except BadAddress as error:
            self._refused(notice, str(error))
            return
        except ValueError as error:
            log.error("a notice cannot be written", extra={"notice": notice.id, "reason": str(error)})
            self._deferred(notice, str(error))
            return
        try:
            for letter in letters:
                connection.send(
                    settings.bounces or settings.sender,
                    letter.recipient,
                    letter.message,
                    ask_delivery=KINDS[notice.kind].effect in BY_ARRIVAL,
                )
        except MailRefused as error:
            self._refused(notice, str(error))
        except MailDeferred as error:
            self._deferred(notice, str(error))
        else:
            self._accepted(notice, letters[0])

    def _accepted(self, notice: Notice, letter: Letter) -> None:
        now = self._clock()
        data = {
            "at": now,
            "message_id": str(letter.message["Message-ID"]),
            "text": letter.text.version,
            "body": letter.digest,
        }

        def work(tx: Tx) -> None:
            keep_template(tx, letter.text, now)
            self._notices.record(tx, notice, "notice.sent", data)

        self._db.write(work).result()
        self._pauses.pop(notice.id, None)
        self._waiting.pop(notice.id, None)
        log.info("a notice was sent", extra={"notice": notice.id, "kind": notice.kind})

    def _refused(self, notice: Notice, reason: str) -> None:
        data = {"at": self._clock(), "reason": reason[:500]}
        self._db.write(lambda tx: self._notices.record(tx, notice, "notice.bounced", data)).result()
        self._waiting.pop(notice.id, None)
        log.warning("a notice was refused", extra={"notice": notice.id, "reason": reason})

    def _withdraw(self, notice: Notice, reason: str) -> None:
        def work(tx: Tx) -> None:
            self._notices.record(tx, notice, "notice.withdrawn", {"reason": reason})
            tx.system.alarm(NOTICE_ALARM, notice.id, f"{notice.kind} to {notice.contract} was not sent: {reason}", now)

        now = self._clock()
        self._db.write(work).result()
        self._waiting.pop(notice.id, None)
        log.warning("a notice came too late to be sent", extra={"notice": notice.id, "reason": reason})

    def _deferred(self, notice: Notice, reason: str) -> None:
        pause = self._pauses.setdefault(notice.id, Pause())
        pause.failed(self._clock())
        if pause.tries == 1:
            log.warning("a notice waits", extra={"notice": notice.id, "reason": reason})
        if pause.tries == _WORRYING:
            now, message = self._clock(), f"{notice.kind} to {notice.contract} cannot be sent: {reason}"
            self._db.write(lambda tx: tx.system.alarm(NOTICE_ALARM, notice.id, message, now)).result()

    # -- the server ---------------------------------------------------------------------------------------------------

    def _server_fails(self, reason: str) -> None:
        self._server.failed(self._clock())
        if self._server.tries == 1:
            log.warning("the mail server cannot be used; notices wait", extra={"reason": reason})
            now = self._clock()
            message = f"notices wait, the mail server cannot be used: {reason}"
            self._db.write(lambda tx: tx.system.alarm(ALARM, "server", message, now)).result()

    def _server_answers(self) -> None:
        if self._server.tries or not self._has_sent:
            now = self._clock()
            self._db.write(lambda tx: tx.system.alarm(ALARM, "server", None, now)).result()
        self._server, self._has_sent = Pause(), True

    def _mark(self) -> str:
        """Tells this installation's Message-IDs from others': the digest of its first act."""
        if not self._token:
            first = self._db.read(lambda tx: tx.acts.after(0, 1))
            self._token = hashlib.sha256((first[0].digest if first else GENESIS).encode()).hexdigest()[:12]
        return self._token
