"""CPU seconds and memory of a process tree, read from /proc (Linux)."""

import contextlib
import os
import resource
import time

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid):
    with open("/proc/%d/stat" % pid, "rb") as f:
        return f.read().rpartition(b")")[2].split()


def tree(roots):
    """The pids in `roots` and all their living descendants."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(name))[1]), []).append(int(name))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(roots):
    """User + system time of the tree, with that of children already reaped."""
    total = 0
    for pid in tree(roots):
        with contextlib.suppress(OSError):
            total += sum(int(x) for x in _stat(pid)[11:15])
    return total / TICK


def _status(pid, key):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    return 0.0


def reset_peak(roots):
    for pid in tree(roots):
        try:
            with open("/proc/%d/clear_refs" % pid, "w") as f:
                f.write("5")
        except OSError:
            pass


def command_name(pid):
    with contextlib.suppress(OSError), open("/proc/%d/comm" % pid) as f:
        return f.read().strip()
    return ""


def rss_mib(roots, peak=False):
    """Sum of resident memory over the tree, MiB; pages shared by processes count in each."""
    total = 0.0
    for pid in tree(roots):
        with contextlib.suppress(OSError):
            total += _status(pid, "VmHWM:" if peak else "VmRSS:")
    return total


def pss_mib(roots):
    """As rss_mib, but a page shared by n processes counts 1/n in each."""
    total = 0
    for pid in tree(roots):
        try:
            with open("/proc/%d/smaps_rollup" % pid) as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except OSError:
            pass
    return total / 1024


def _busy():
    with open("/proc/stat") as f:
        x = [int(v) for v in f.readline().split()[1:]]
    return (x[0] + x[1] + x[2] + x[5] + x[6]) / TICK


def wait_quiet(share, limit=5):
    """Wait, `limit` seconds at most, until the machine uses less than `share` of one core."""
    end = time.time() + limit
    while time.time() < end:
        before = _busy()
        time.sleep(0.3)
        if (_busy() - before) / 0.3 < share:
            return


def _own():
    a, b = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return a.ru_utime + a.ru_stime + b.ru_utime + b.ru_stime


class Meter:
    """with Meter(pids, helpers, fronts) as m: ...   then m.wall, m.server_cpu, m.helper_cpu, m.front_cpu, m.client_cpu,
    m.other_cpu, m.peak_rss. Helpers are programs that a server needs and that are not its own (clamd); fronts are those
    of its own processes that serve requests."""

    def __init__(self, roots, helpers=(), fronts=()):
        self.roots = list(roots)
        self.helpers = list(helpers)
        self.fronts = list(fronts)

    def __enter__(self):
        reset_peak(self.roots)
        self._start = cpu_seconds(self.roots), cpu_seconds(self.helpers), cpu_seconds(self.fronts), _own(), _busy()
        self._t0 = time.perf_counter()
        return self

    def __exit__(self, *exc):
        self.wall = time.perf_counter() - self._t0
        server, helper, front, own, busy = self._start
        self.server_cpu = cpu_seconds(self.roots) - server
        self.helper_cpu = cpu_seconds(self.helpers) - helper
        self.front_cpu = cpu_seconds(self.fronts) - front
        self.client_cpu = _own() - own
        self.other_cpu = max(0.0, _busy() - busy - self.server_cpu - self.helper_cpu - self.client_cpu)
        self.peak_rss = rss_mib(self.roots, peak=True)
