"""moto_server, a mock of S3 in Python: the 'toy' reference. BENCH_MOTO."""

from peers.base import S3Server, binary


class Moto(S3Server):
    name = "moto"
    skip = {"list": "too slow to fill", "delete": "too slow to fill"}

    def launch(self):
        self.spawn([binary("BENCH_MOTO", "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)])


PEERS = [Moto]
