"""rclone serve webdav / serve s3 over a local directory. BENCH_RCLONE."""

import os

from peers.base import ACCESS, PASSWORD, SECRET, USER, S3Server, Server, binary


class RcloneDav(Server):
    name = "rclone"
    plain_files = False  # its directory cache does not see files put there behind its back, not even after SIGHUP

    def launch(self):
        self.spawn(
            [
                binary("BENCH_RCLONE", "rclone"),
                "serve",
                "webdav",
                self.root,
                "--addr",
                self.host,
                "--user",
                USER,
                "--pass",
                PASSWORD,
                "--config",
                self.write("rclone.conf", ""),
                "--cache-dir",
                self.workdir + "/cache",
                "--log-level",
                "ERROR",
            ]
        )


class RcloneS3(S3Server):
    name = "rclone-s3"

    def launch(self):
        os.makedirs(os.path.join(self.root, self.bucket), exist_ok=True)
        self.spawn(
            [
                binary("BENCH_RCLONE", "rclone"),
                "serve",
                "s3",
                self.root,
                "--addr",
                self.host,
                "--auth-key",
                f"{ACCESS},{SECRET}",
                "--config",
                self.write("rclone.conf", ""),
                "--cache-dir",
                self.workdir + "/cache",
                "--log-level",
                "ERROR",
            ]
        )

    def after_start(self):
        pass


PEERS = [RcloneDav, RcloneS3]
