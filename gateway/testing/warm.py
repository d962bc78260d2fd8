"""``kurado`` for tests that run it hundreds of times: a process that has loaded the program is forked for each run.

A run is a process of its own, with the caller's arguments, folder, environment, standard streams and exit status, that
begins in ``gateway.cli.main``; only loading the modules, a second of computing, is done once. Daemons (``serve``,
``demo``) and runs with other variables that Python reads at its start are the program as it is installed.

``program()`` gives the path of an executable ``kurado``; it is a client of the process, which ends with its starter.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

_EARLY = ("PYTHON", "LC_", "LANG", "TZ")
_CLIENT = """#!{python} -IS
import os, signal, socket, sys
env = dict(os.environ)
early = {{name: value for name, value in env.items() if name.startswith({early!r})}}
if early != {variables!r} or {{"serve", "demo"}} & set(sys.argv):
    os.execv({python!r}, [{python!r}, "-P", "-c", "from gateway.cli import main; main()", *sys.argv[1:]])
import json
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
umask = os.umask(0)
os.umask(umask)
asked = json.dumps([sys.argv[1:], os.getcwd(), env, umask]).encode()
socket.send_fds(line, [len(asked).to_bytes(4, "big")], [0, 1, 2])
line.sendall(asked)
answers = line.makefile("r")
pid = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
status = int(answers.readline())
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@cache
def program() -> Path:
    """The client; the process behind it is started by the first call and shared by all threads of this one."""
    folder = Path(tempfile.mkdtemp(prefix="kurado-warm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = folder / "line"
    variables = {name: value for name, value in os.environ.items() if name.startswith(_EARLY)}
    client = folder / "kurado"
    client.write_text(_CLIENT.format(python=sys.executable, variables=variables, early=_EARLY, address=str(address)))
    client.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen(64)
        server = subprocess.Popen(
            [sys.executable, "-P", "-c", "from gateway.testing.warm import serve; serve()", str(listening.fileno())],
            stdin=subprocess.PIPE,  # closed when this process ends, however it does
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )
    atexit.register(_end, server)
    return client


def _end(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait(10)


def serve() -> None:
    """The process: loads everything, then forks for who asks until its standard input is closed."""
    import gateway.cli
    import gateway.daemon  # noqa: F401

    for group in ("kurado.plugins", "kurado.storage_backends"):
        for point in entry_points(group=group):
            with contextlib.suppress(Exception):
                point.load()
    assert threading.active_count() == 1  # a fork takes only one thread along
    _Forking(socket.socket(fileno=int(sys.argv[1]))).run()


class _Forking:
    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._callers: dict[int, socket.socket] = {}
        self._wake, wakened = socket.socketpair()
        self._wake.setblocking(False)
        wakened.setblocking(False)
        signal.set_wakeup_fd(wakened.fileno())
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._wakened = wakened
        self._ready = selectors.DefaultSelector()

    def run(self) -> None:
        for begun in (self._listening, self._wake, 0):
            self._ready.register(begun, selectors.EVENT_READ)
        while True:
            sources = [key.fileobj for key, _ in self._ready.select()]
            if 0 in sources:
                return
            for source in sources:
                if source is self._wake:
                    self._wake.recv(4096)
                    self._reap()
                elif source is self._listening:
                    self._begin()
                else:
                    self._given_up(source)

    def _begin(self) -> None:
        caller, _ = self._listening.accept()
        head, fds, _, _ = socket.recv_fds(caller, 4, 3)
        with caller.makefile("rb") as lines:
            asked = json.loads(lines.read(int.from_bytes(head, "big")))
        pid = os.fork()
        if pid == 0:
            self._become(fds, *asked)
        for fd in fds:
            os.close(fd)
        self._callers[pid] = caller
        self._ready.register(caller, selectors.EVENT_READ)
        with contextlib.suppress(OSError):
            caller.sendall(b"%d\n" % pid)

    def _become(self, fds: list[int], words: list[str], folder: str, env: dict[str, str], umask: int) -> None:
        """In the child: the program, never to return."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
            os.close(fd)
        self._ready.close()
        for line in (self._listening, self._wake, self._wakened, *self._callers.values()):
            line.close()
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.chdir(folder)
        os.umask(umask)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = ["-c", *words]
        from gateway.cli import main

        main()
        sys.exit(0)

    def _reap(self) -> None:
        while self._callers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._callers.pop(pid) as caller, contextlib.suppress(OSError):
                if caller in self._ready.get_map():
                    self._ready.unregister(caller)
                caller.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))

    def _given_up(self, source: object) -> None:
        """The client was killed: so is what it ran."""
        for pid, caller in self._callers.items():
            if caller is source:
                self._ready.unregister(caller)
                os.kill(pid, signal.SIGKILL)
