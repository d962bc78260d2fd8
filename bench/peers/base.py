"""What a peer driver is: start a server on a directory and a port, say how to reach it, stop it."""

import base64
import os
import shutil
import signal
import subprocess
import time

USER, PASSWORD = "bench", "bench-secret-41"
ACCESS, SECRET = "BENCHACCESSKEY01", "bench/secret/key/0123456789abcdef01234567"


def binary(env, *names):
    """The program named by the environment variable, or the first of `names` on PATH."""
    told = os.environ.get(env)
    for name in [told] if told else list(names):
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        if path:
            return path
    raise LookupError("{}: none of {} found; set {}".format(env, ", ".join(names), env))


class Server:
    """One server. Subclasses set the class fields and write `launch`.

    It may use the ports self.port .. self.port + ports - 1.
    """

    name = "?"
    protocol = "dav"  # or "s3"
    prefix = ""  # URL path of the share, no slash at the end
    auth = True  # False: the server cannot check Basic credentials
    plain_files = True  # fixtures may be made as plain files under self.root
    skip = {}  # workload -> why this server cannot run it
    ready_seconds = 40
    ports = 1  # how many ports it needs, from self.port on

    def __init__(self, workdir, port):
        self.workdir, self.port = os.path.abspath(workdir), port
        self.root = os.path.join(self.workdir, "data")
        self.addr = ("127.0.0.1", port)
        self.host = "127.0.0.1:%d" % port
        self.procs = []
        self.helpers = []  # programs beside it, whose CPU is told apart from its own

    # -- for subclasses -------------------------------------------------
    def launch(self):
        raise NotImplementedError

    def prepare(self):
        """What is done once before the first start, not counted as start-up."""

    def own(self, path):
        """Give a path made by the harness to the user the server runs as."""

    def refresh(self):
        """Called after fixtures were made as plain files behind the server's back."""

    def spawn(self, argv, env=None, cwd=None, helper=False):
        log = open(os.path.join(self.workdir, "log"), "ab")
        full = dict(os.environ, **(env or {}))
        (self.helpers if helper else self.procs).append(
            subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=full,
                cwd=cwd or self.workdir,
                start_new_session=True,
            )
        )

    def write(self, name, text):
        path = os.path.join(self.workdir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    # -- for the harness ------------------------------------------------
    def start(self):
        os.makedirs(self.root, exist_ok=True)
        self.own(self.root)
        self.prepare()
        t0 = time.perf_counter()
        self.launch()
        while not self.answers():
            if time.perf_counter() - t0 > self.ready_seconds or any(p.poll() is not None for p in self.procs):
                self.stop()
                raise RuntimeError(f"{self.name} did not start; see {self.workdir}/log")
            time.sleep(0.001)
        self.startup_seconds = time.perf_counter() - t0
        self.after_start()
        return self

    def after_start(self):
        """Anything to do once, not counted as start-up (S3: make the bucket)."""

    def answers(self):
        """True when one authorised request is answered with 2xx."""
        from client import Conn, head

        conn = Conn(self.addr, 5)
        try:
            return 200 <= conn.request(self.probe(head)).status < 300
        except (OSError, ValueError):
            return False
        finally:
            conn.close()

    def probe(self, head):
        return head("PROPFIND", self.prefix + "/", self.host, [*self.headers(), ("Depth", "0")], 0)

    def headers(self):
        """Request headers every WebDAV request carries."""
        if not self.auth:
            return []
        token = base64.b64encode((f"{USER}:{PASSWORD}").encode()).decode()
        return [("Authorization", "Basic " + token)]

    def pids(self):
        return [p.pid for p in self.procs]

    def front_pids(self):
        """Its processes that serve requests, where some do other things."""
        return self.pids()

    def helper_pids(self):
        return [p.pid for p in self.helpers]

    def stop(self):
        for procs in (self.procs, self.helpers):
            for p in procs:
                if p.poll() is None:
                    p.send_signal(signal.SIGTERM)
            for p in procs:
                try:
                    p.wait(15)
                except subprocess.TimeoutExpired:
                    os.killpg(p.pid, signal.SIGKILL)
                    p.wait()
            procs.clear()


class S3Server(Server):
    protocol = "s3"
    bucket = "bench"
    plain_files = False
    access, secret = ACCESS, SECRET

    def signed(self, method, path, **kw):
        """Request head of a signed request; kw: query, payload_sha256, extra, length."""
        from client import head
        from sigv4 import sign

        length = kw.pop("length", None)
        target, headers = sign(method, self.host, path, self.access, self.secret, **kw)
        return head(method, target, self.host, headers, length)

    def probe(self, head):  # noqa: ARG002
        return self.signed("GET", "/")

    def after_start(self):
        """Make the bucket; some servers say 200 to a listing before they can write."""
        from client import Conn

        end = time.time() + self.ready_seconds
        while True:
            try:
                got = Conn(self.addr, 30).request(self.signed("PUT", "/" + self.bucket, length=0))
                why = "%d %s" % (got.status, got.body[:200])
                if got.status in (200, 204) or b"BucketAlreadyOwnedByYou" in got.body:
                    return
            except OSError as e:
                why = str(e)
            if time.time() > end:
                raise RuntimeError(f"{self.name}: bucket: {why}")
            time.sleep(0.1)
