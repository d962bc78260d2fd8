"""``kurado serve``: starts the children, replaces those that die, reloads on SIGHUP and drains on SIGTERM.

The supervisor itself serves nothing and holds no database: it cannot fail for their reasons. It owns the listening
sockets and one lock on the data folder.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gateway import child
from gateway.child import Handed
from gateway.config import Config
from gateway.slots import (
    DESK,
    GATE,
    STEWARD,
    CannotStart,
    Child,
    Slot,
    addresses_file,
    authority,
    listen,
    only_one,
    spawn,
)

START_SECONDS = 60.0
DRAIN_SECONDS = 30.0
MAX_BACKOFF = 10.0
STEADY_SECONDS = 10.0

log = logging.getLogger("kurado.supervisor")


@dataclass
class Hooks:
    """What ``serve`` and ``demo`` give the supervisor.

    ``load`` reads the configuration afresh and raises when it is bad; ``prepare`` runs once, when the data folder is
    ours and before the first child; ``say`` prints a line for people; ``when_ready`` is called once, with the URLs by
    name (dav, desk, s3); ``child`` is the life of a child of a role. Without ``reloads`` SIGHUP stops as SIGTERM does:
    a terminal was closed. ``output`` is the descriptor that children print to, by default our standard error.
    """

    load: Callable[[], Config]
    prepare: Callable[[], None]
    say: Callable[[str], None]
    when_ready: Callable[[Mapping[str, str]], None]
    child: Callable[[str, Config, Handed], None]
    reloads: bool = True
    output: int | None = None


class Supervisor:
    """Runs until SIGTERM or SIGINT; ``run`` returns the exit status."""

    def __init__(self, config: Config, hooks: Hooks) -> None:
        self._config = config
        self._hooks = hooks
        self._slots: dict[str, Slot] = {}
        self._old: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        self._life_read, self._life_write = os.pipe()
        self._stopping = False

    # -- life ---------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Serves. Raises CannotStart when the first start fails; children that started are stopped then."""
        with only_one(self._config.data_dir), self._catch_signals():
            try:
                self._hooks.prepare()
                self._open_slots(self._config)
                for slot in self._slots.values():
                    self._start(slot)
                self._await_first_start()
                self._say_ready()
                while not self._stopping:
                    self._turn(None)
            finally:
                self._stop_all()
                addresses_file(self._config.data_dir).unlink(missing_ok=True)
                for slot in self._slots.values():
                    _close(slot)
                os.close(self._life_write)
                os.close(self._life_read)
        return 0

    def _open_slots(self, config: Config) -> None:
        dav, desk = config.listen.dav, config.listen.desk
        port, s3_port = dav.port, config.listen.s3.port if config.listen.s3 else 0
        for number in range(config.gates):
            listener = listen(dav.host, port, "listen.dav", alone=number == 0)
            port = listener.getsockname()[1]
            slot = self._slots[f"{GATE}-{number}"] = Slot(f"{GATE}-{number}", listener)
            if config.listen.s3 is not None:
                slot.s3 = listen(config.listen.s3.host, s3_port, "listen.s3", alone=number == 0)
                s3_port = slot.s3.getsockname()[1]
        self._slots[STEWARD] = Slot(STEWARD, None)
        self._slots[DESK] = Slot(DESK, listen(desk.host, desk.port, "listen.desk", alone=True))

    def _await_first_start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not all(slot.current and slot.current.ready for slot in self._slots.values()):
            for slot in self._slots.values():
                if slot.current is None:
                    raise CannotStart(slot.last_failure)
                if slot.current.failure:
                    raise CannotStart(slot.current.failure)
            if self._stopping:
                raise CannotStart("stopped while starting")
            if time.monotonic() > deadline:
                waiting = [slot.name for slot in self._slots.values() if not (slot.current and slot.current.ready)]
                raise CannotStart(f"{', '.join(waiting)} did not start within {START_SECONDS:.0f} s")
            self._turn(0.2)

    def _say_ready(self) -> None:
        urls = self.urls()
        file = addresses_file(self._config.data_dir)
        part = file.with_suffix(".part")
        part.write_text(json.dumps({**urls, "pid": os.getpid()}, indent=1) + "\n")
        part.replace(file)
        self._hooks.when_ready(urls)

    def urls(self) -> dict[str, str]:
        """The URLs under which gates and desk serve, with the real ports; ``s3`` only where it is configured."""
        scheme = "https" if self._config.listen.tls else "http"
        gate, desk, s3 = self._slots[f"{GATE}-0"].listener, self._slots[DESK].listener, self._slots[f"{GATE}-0"].s3
        assert gate is not None
        assert desk is not None
        urls = {"dav": f"{scheme}://{authority(gate)}", "desk": f"http://{authority(desk)}"}
        return {**urls, "s3": f"{scheme}://{authority(s3)}"} if s3 else urls

    # -- one turn of the loop -----------------------------------------------------------------------------------------

    def _turn(self, timeout: float | None) -> None:
        self._listen_to_children(self._next_timeout(timeout))
        signals, self._signals = self._signals, []
        ends = {signal.SIGTERM, signal.SIGINT} | (set() if self._hooks.reloads else {signal.SIGHUP})
        if ends & set(signals):
            self._stopping = True
            return
        self._bury()
        if signal.SIGHUP in signals:
            self._reload()
        now = time.monotonic()
        for slot in self._slots.values():
            if slot.current is None and slot.restart_at is not None and now >= slot.restart_at:
                self._start(slot)
        self._kill_overdue(now)

    def _listen_to_children(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Child):
                self._hear(key.data)
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(key.fd, 4096)

    def _next_timeout(self, timeout: float | None) -> float | None:
        now = time.monotonic()
        times = [slot.restart_at for slot in self._slots.values() if slot.restart_at is not None]
        times += [old.draining_since + DRAIN_SECONDS for old in self._old if old.draining_since is not None]
        if timeout is not None:
            times.append(now + timeout)
        return max(0.0, min(times) - now) if times else None

    def _hear(self, one: Child) -> None:
        heard = os.read(one.ready_pipe, 4096)
        one.heard += heard
        if heard and not one.heard.endswith(b"\n"):
            return
        self._selector.unregister(one.ready_pipe)
        os.close(one.ready_pipe)
        text = one.heard.decode("utf-8", "replace").strip()
        one.ready = text == "ready"
        if text.startswith("failed "):
            one.failure = text.removeprefix("failed ")
        elif not one.ready:
            one.failure = f"{one.slot} ended while it started"

    def _bury(self) -> None:
        for slot in self._slots.values():
            dead = slot.current
            if dead is None or dead.process.poll() is None:
                continue
            if not dead.ready and not dead.failure:
                self._hear(dead)
            slot.current, slot.last_failure = None, dead.failure or f"{slot.name} ended"
            if time.monotonic() - dead.started >= STEADY_SECONDS and dead.ready:
                slot.failures = 0
            pause = 0.0 if slot.failures == 0 else min(MAX_BACKOFF, 0.5 * 2 ** (slot.failures - 1))
            slot.failures += 1
            slot.restart_at = time.monotonic() + pause
            log.error(
                "child ended, starting another",
                extra={"slot": slot.name, "status": dead.process.returncode, "reason": dead.failure, "pause": pause},
            )
            for listener in slot.listeners.values() if pause and slot.role == GATE else []:
                # nobody would answer for a while: leave new connections to the other gates
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
        self._old = [old for old in self._old if old.process.poll() is None]

    def _kill_overdue(self, now: float) -> None:
        for old in self._old:
            if old.draining_since is not None and now >= old.draining_since + DRAIN_SECONDS:
                log.error("child did not drain in time", extra={"slot": old.slot, "pid": old.process.pid})
                old.process.kill()
                old.draining_since = now

    # -- children -----------------------------------------------------------------------------------------------------

    def _start(self, slot: Slot) -> None:
        slot.restart_at = None
        for listener in slot.listeners.values():
            listener.listen(child.BACKLOG)
        slot.current = self._spawn(slot, self._config)

    def _spawn(self, slot: Slot, config: Config) -> Child:
        output = sys.stderr.fileno() if self._hooks.output is None else self._hooks.output
        one = spawn(slot, lambda handed: self._hooks.child(slot.role, config, handed), self._life_read, output)
        self._selector.register(one.ready_pipe, selectors.EVENT_READ, one)
        log.info("child started", extra={"slot": slot.name, "pid": one.process.pid})
        return one

    def _drain(self, one: Child) -> None:
        one.draining_since = time.monotonic()
        self._old.append(one)
        with contextlib.suppress(ProcessLookupError):
            one.process.terminate()

    def _stop_all(self) -> None:
        for slot in self._slots.values():
            if slot.current is not None and slot.current.process.poll() is None:
                self._drain(slot.current)
            slot.current = None
        deadline = time.monotonic() + DRAIN_SECONDS
        self._signals.clear()
        while self._old:
            # whoever asks a second time does not want to wait
            if self._signals.count(signal.SIGINT) + self._signals.count(signal.SIGTERM) or time.monotonic() > deadline:
                for old in self._old:
                    log.error("child did not drain in time", extra={"slot": old.slot, "pid": old.process.pid})
                    old.process.kill()
                    old.process.wait()
            self._old[0].process.wait(0.2)
            self._old = [old for old in self._old if old.process.poll() is None]

    # -- SIGHUP -------------------------------------------------------------------------------------------------------

    def _reload(self) -> None:
        """New children with the configuration as it is now; the old ones are drained once the new ones serve. When
        anything is wrong with it, the old ones stay."""
        try:
            config = self._hooks.load()
            self._check_unchanged(config)
            fresh = self._start_fresh(config)
        except Exception as error:
            log.error("reload failed, the old configuration stays", extra={"reason": str(error)})
            self._hooks.say(f"reload failed, the old configuration stays: {error}")
            return
        self._config = config
        for name, (slot, one) in fresh.items():
            before = self._slots.get(name)
            if before is not None and before.current is not None:
                self._drain(before.current)
            slot.current, slot.failures, slot.restart_at = one, 0, None
            self._slots[name] = slot
        for name in [name for name in self._slots if name not in fresh]:
            gone = self._slots.pop(name)
            if gone.current is not None:
                self._drain(gone.current)
            _close(gone)
        log.info("reloaded", extra={"gates": config.gates})
        self._hooks.say("reloaded")

    def _check_unchanged(self, config: Config) -> None:
        if config.data_dir != self._config.data_dir or config.database != self._config.database:
            raise CannotStart("data_dir and database cannot change while the daemon runs: stop and start it")
        old, new = self._config.listen, config.listen
        if (new.dav, new.desk, new.s3) != (old.dav, old.desk, old.s3):
            raise CannotStart("addresses cannot change while the daemon runs: stop and start it")

    def _start_fresh(self, config: Config) -> dict[str, tuple[Slot, Child]]:
        names = [f"{GATE}-{number}" for number in range(config.gates)] + [STEWARD, DESK]
        fresh: dict[str, tuple[Slot, Child]] = {}
        try:
            for name in names:
                slot = self._slots.get(name) or self._new_gate_slot(name)
                for listener in slot.listeners.values():
                    listener.listen(child.BACKLOG)
                fresh[name] = (Slot(name, slot.listener, None, s3=slot.s3), self._spawn(slot, config))
            self._await([one for _, one in fresh.values()])
        except BaseException:
            for slot, one in fresh.values():
                self._drain(one)
                if slot.name not in self._slots:
                    _close(slot)
            raise
        return fresh

    def _new_gate_slot(self, name: str) -> Slot:
        first = self._slots[f"{GATE}-0"]
        assert first.listener is not None
        host, port = first.listener.getsockname()[:2]
        slot = Slot(name, listen(host, port, "listen.dav"))
        if first.s3 is not None:
            host, port = first.s3.getsockname()[:2]
            slot.s3 = listen(host, port, "listen.s3")
        return slot

    def _await(self, children: list[Child]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not all(one.ready for one in children):
            for one in children:
                if one.failure or one.process.poll() is not None:
                    raise CannotStart(one.failure or f"{one.slot} ended while it started")
            if time.monotonic() > deadline or signal.SIGTERM in self._signals:
                raise CannotStart("the new children did not start in time")
            self._listen_to_children(0.2)

    # -- signals ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _catch_signals(self) -> Iterator[None]:
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        self._selector.register(read, selectors.EVENT_READ, None)
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        before = {number: signal.signal(number, lambda n, _: self._signals.append(n)) for number in wanted}
        wakeup = signal.set_wakeup_fd(write)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            os.close(read)
            os.close(write)


def _close(slot: Slot) -> None:
    for listener in slot.listeners.values():
        listener.close()
