"""kurado itself, as a provider runs it: durable, with quota, content policy, metering and the outbox on.

``kurado-scan`` adds virus scanning by a clamd of its own, ``kurado-replica`` a replica in a second folder: columns of
their own. ``kurado-cheap`` checks a password of the least argon2id there is: what a login costs. BENCH_KURADO names the
command (default: the one beside this Python).
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import procstat

from peers import clamd
from peers.base import PASSWORD, USER, S3Server, Server

CONFIG = """\
version: 1
data_dir: data
listen: {{dav: "127.0.0.1:{port}", desk: "127.0.0.1:{desk}"{more}}}
plugins: {plugins}
log: {{level: warning}}
"""
CHEAPEN = """
import sqlite3, sys
from argon2 import PasswordHasher
with sqlite3.connect(sys.argv[1]) as db:
    db.execute("UPDATE users SET password_hash = ?", [PasswordHasher(1, 8, 1).hash(sys.argv[2])])
"""
PROOF_SECONDS = 240
PLUGINS = ("contract_state", "quota", "content_policy", "metering", "billing_export")


def command():
    return os.environ.get("BENCH_KURADO") or str(Path(sys.executable).with_name("kurado"))


class Kurado(Server):
    name = "kurado"
    prefix = "/dav/bench"
    plain_files = False
    ports = 2

    def plugins(self):
        return [{"name": name} for name in PLUGINS]

    def listen(self):
        """Ports of WebDAV and the desk, and further listeners."""
        return self.port, self.port + 1, ""

    def prepare(self):
        """Configuration, tenant and user: what an operator does before the first start."""
        port, desk, more = self.listen()
        text = CONFIG.format(port=port, desk=desk, more=more, plugins=json.dumps(self.plugins()))
        self.config = self.write("gateway.yaml", text)
        self.run("tenant", "add", "bench")
        self.run("user", "add", "bench", USER, "--role", "owner", "--password-stdin", stdin=PASSWORD + "\n")

    def run(self, *words, stdin=None):
        done = subprocess.run(
            [command(), "--config", self.config, *words], input=stdin, text=True, capture_output=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def launch(self):
        self.spawn([command(), "--config", self.config, "serve"])

    def front_pids(self):
        return [pid for pid in procstat.tree(self.pids()) if procstat.command_name(pid).startswith("kurado-gate")]


class KuradoScan(Kurado):
    """Scans all of a GiB: the plugin's own limit is lower, above it a file would only be marked."""

    name = "kurado-scan"

    def plugins(self):
        scan = {"name": "virus_scan", "address": clamd.address(self)}
        return [*super().plugins(), {**scan, "max_size": "1GB", "max_expanded": "1GB"}]

    def prepare(self):
        super().prepare()
        clamd.start(self)

    def after_start(self):
        """The steward proves the scanner first, with an archive of the size that is scanned at most."""
        end = time.monotonic() + PROOF_SECONDS
        while time.monotonic() < end:
            before = procstat.cpu_seconds(self.pids())
            time.sleep(2)
            if procstat.cpu_seconds(self.pids()) - before < 0.15:
                return


class KuradoCheap(Kurado):
    name = "kurado-cheap"

    def prepare(self):
        super().prepare()
        python = str(Path(command()).with_name("python"))
        subprocess.run([python, "-c", CHEAPEN, os.path.join(self.workdir, "data", "kurado.db"), PASSWORD], check=True)


class KuradoS3(Kurado, S3Server):
    name = "kurado-s3"
    protocol = "s3"
    ports = 3
    prefix = ""

    def listen(self):
        return self.port + 1, self.port + 2, f', s3: "127.0.0.1:{self.port}"'

    def prepare(self):
        super().prepare()
        made = json.loads(self.run("key", "create", "bench", USER, "--json"))
        self.access, self.secret = made["access_key"], made["secret_key"]


class KuradoReplica(Kurado):
    name = "kurado-replica"

    def plugins(self):
        return [*super().plugins(), {"name": "replication", "to": {"backend": "local", "path": "../replica"}}]


PEERS = [Kurado, KuradoS3, KuradoScan, KuradoReplica, KuradoCheap]
