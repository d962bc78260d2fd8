"""A clamd beside a server: its own folder, the test virus as its only signature, nothing from the network. BENCH_CLAMD.

With so few signatures its own CPU is far below that of a real one; it is told apart from the server's (`helper_cpu`).
"""

import os
import socket
import time

from peers.base import binary

SIZE = "2000M"  # a GiB is scanned to its end
CONFIG = """\
DatabaseDirectory {folder}/db
OfficialDatabaseOnly no
TemporaryDirectory {folder}
LogFile {folder}/clamd.log
LocalSocket {folder}/clamd.sock
Foreground yes
SelfCheck 86400
MaxScanTime 0
StreamMaxLength {size}
MaxFileSize {size}
MaxScanSize {size}
AlertExceedsMax yes
AlertEncrypted yes
"""
# from two halves, so that no scanner takes this file for the test virus
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def start(server):
    """Starts it as a helper of `server` and returns when it answers."""
    folder = os.path.join(server.workdir, "clamd")
    os.makedirs(os.path.join(folder, "db"), exist_ok=True)
    server.write("clamd/db/test.ndb", f"Eicar-Test-Signature:0:0:{EICAR.hex()}\n")
    conf = server.write("clamd/clamd.conf", CONFIG.format(folder=folder, size=SIZE))
    server.spawn([binary("BENCH_CLAMD", "clamd"), "--config-file=" + conf], helper=True)
    end = time.monotonic() + 60
    while not answers(address(server)):
        if time.monotonic() > end or server.helpers[-1].poll() is not None:
            raise RuntimeError(f"clamd did not start; see {folder}/clamd.log")
        time.sleep(0.05)


def address(server):
    return os.path.join(server.workdir, "clamd", "clamd.sock")


def answers(path):
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(1)
            line.connect(path)
            line.sendall(b"nPING\n")
            return line.recv(16) == b"PONG\n"
    except OSError:
        return False
