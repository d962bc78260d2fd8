"""SeaweedFS: one `weed server` process with filer and S3 or WebDAV. BENCH_WEED. Takes eight ports."""

import json
import os

from peers.base import ACCESS, SECRET, S3Server, Server, binary


def weed_argv(self, front):
    p = self.port
    argv = [
        binary("BENCH_WEED", "weed"),
        "-logtostderr",
        "server",
        "-dir=" + self.root,
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-filer",
        "-master.port=%d" % (p + 1),
        "-master.port.grpc=%d" % (p + 2),
        "-volume.port=%d" % (p + 3),
        "-volume.port.grpc=%d" % (p + 4),
        "-filer.port=%d" % (p + 5),
        "-filer.port.grpc=%d" % (p + 6),
        "-master.telemetry=false",
        "-volume.max=40",
        "-volume.preStopSeconds=0",
        "-master.volumeSizeLimitMB=4096",
    ]
    return argv + front


class WeedDav(Server):
    name = "weed"
    ports = 8
    auth = False
    plain_files = False

    def launch(self):
        os.makedirs(self.workdir + "/cache", exist_ok=True)
        self.spawn(
            weed_argv(self, ["-webdav", "-webdav.port=%d" % self.port, "-webdav.cacheDir=" + self.workdir + "/cache"])
        )

    def answers(self):
        """Up when a PUT works: the volume server joins some time after the port opens."""
        from client import Conn, head

        conn = Conn(self.addr, 5)
        try:
            return conn.request(head("PUT", "/.probe", self.host, [], 1), b"x").status in (200, 201, 204)
        except (OSError, ValueError):
            return False
        finally:
            conn.close()


class WeedS3(S3Server):
    name = "weed-s3"
    ports = 8

    def launch(self):
        conf = self.write(
            "s3.json",
            json.dumps(
                {
                    "identities": [
                        {
                            "name": "bench",
                            "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
                            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                        }
                    ]
                }
            ),
        )
        self.spawn(
            weed_argv(
                self,
                [
                    "-s3",
                    "-s3.port=%d" % self.port,
                    "-s3.port.grpc=%d" % (self.port + 7),
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-s3.config=" + conf,
                ],
            )
        )


PEERS = [WeedDav, WeedS3]
