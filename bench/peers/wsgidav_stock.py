"""Stock WsgiDAV, FilesystemProvider, under cheroot (10 or 50 threads) and granian (2 workers).

BENCH_PYTHON: a Python that has wsgidav, cheroot and granian (else the running one).
"""

import os
import sys

from peers.base import PASSWORD, USER, Server

HERE = os.path.dirname(os.path.abspath(__file__))


def python():
    return os.environ.get("BENCH_PYTHON", sys.executable)


class WsgidavCheroot(Server):
    name = "wsgidav10"
    threads = 10

    def env(self):
        return {"DAV_ROOT": self.root, "DAV_USER": USER, "DAV_PASSWORD": PASSWORD, "PYTHONPATH": HERE}

    def launch(self):
        self.spawn([python(), os.path.join(HERE, "wsgidav_app.py"), str(self.port), str(self.threads)], self.env())


class WsgidavCheroot50(WsgidavCheroot):
    name = "wsgidav50"
    threads = 50


class WsgidavGranian(WsgidavCheroot):
    name = "wsgidav-granian"
    skip = {"creative": "two workers share no locks in memory"}

    def launch(self):
        self.spawn(
            [
                python(),
                "-m",
                "granian",
                "--interface",
                "wsgi",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
                "--workers",
                "2",
                "--no-access-log",
                "--log-level",
                "warning",
                "wsgidav_app:application",
            ],
            dict(self.env(), DAV_PRIMED="1"),
        )


PEERS = [WsgidavCheroot, WsgidavCheroot50, WsgidavGranian]
