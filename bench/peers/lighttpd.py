"""lighttpd with mod_webdav (properties and locks in SQLite), one process. BENCH_LIGHTTPD."""

from peers.base import PASSWORD, USER, Server, binary


class Lighttpd(Server):
    name = "lighttpd"
    skip = {"creative": "answers 412 to a MOVE onto a locked file, token or not"}

    def launch(self):
        exe = binary("BENCH_LIGHTTPD", "lighttpd")
        self.write("users", f"{USER}:{PASSWORD}\n")
        conf = self.write(
            "lighttpd.conf",
            f"""
server.modules = ("mod_auth", "mod_authn_file", "mod_webdav")
server.document-root = "{self.root}"
server.bind = "127.0.0.1"
server.port = {self.port}
server.errorlog = "{self.workdir}/error.log"
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 60
server.max-connections = 1024
server.upload-dirs = ("{self.workdir}")
webdav.activate = "enable"
webdav.sqlite-db-name = "{self.workdir}/webdav.db"
auth.backend = "plain"
auth.backend.plain.userfile = "{self.workdir}/users"
auth.cache = ("max-age" => "600")
auth.require = ("/" => ("method" => "basic", "realm" => "bench", "require" => "valid-user"))
mimetype.assign = ("" => "application/octet-stream")
""",
        )
        self.spawn([exe, "-D", "-f", conf])


PEERS = [Lighttpd]
