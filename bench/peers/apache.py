"""Apache httpd, event MPM, mod_dav + mod_dav_fs. BENCH_APACHE, BENCH_APACHE_MODULES, BENCH_HTTPD_USER."""

import base64
import hashlib
import os
import pwd
import shutil
import subprocess

from peers.base import PASSWORD, USER, Server, binary

MODULES = ["mpm_event", "unixd", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "dav", "dav_fs"]


def run_as():
    """The unprivileged user httpd's workers take when started as root."""
    if os.getuid():
        return pwd.getpwuid(os.getuid()).pw_name
    return os.environ.get("BENCH_HTTPD_USER", "www-data")


def sha_line():
    return f"{USER}:{{SHA}}{base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()}\n"


def bcrypt_line():
    tool = binary("BENCH_HTPASSWD", "htpasswd")
    return subprocess.check_output([tool, "-nbB", USER, PASSWORD], text=True).strip() + "\n"  # cost 5


class Apache(Server):
    name = "apache"
    password_line = staticmethod(sha_line)

    def own(self, path):
        if os.getuid() == 0:
            shutil.chown(path, run_as())
            for base, dirs, files in os.walk(path):
                for item in dirs + files:
                    shutil.chown(os.path.join(base, item), run_as())

    def launch(self):
        exe = binary("BENCH_APACHE", "apache2", "httpd")
        where = os.environ.get("BENCH_APACHE_MODULES") or os.path.join(
            os.path.dirname(os.path.dirname(os.path.realpath(exe))), "lib", "apache2", "modules"
        )
        static = subprocess.run([exe, "-l"], stdout=subprocess.PIPE, text=True).stdout
        loads = [f"LoadModule {m}_module {where}/mod_{m}.so" for m in MODULES if f"mod_{m}.c" not in static]
        self.write("users", self.password_line())
        locks = os.path.join(self.workdir, "locks")
        os.makedirs(locks, exist_ok=True)
        self.own(locks)
        identity = f"User {run_as()}\n" if os.getuid() == 0 else ""
        conf = self.write(
            "httpd.conf",
            "\n".join(loads)
            + f"""
ServerRoot "{self.workdir}"
ServerName 127.0.0.1
Listen 127.0.0.1:{self.port}
{identity}PidFile "{self.workdir}/pid"
ErrorLog "{self.workdir}/error.log"
LogLevel error
DocumentRoot "{self.root}"
DavLockDB "{locks}/db"
StartServers 2
ServerLimit 4
ThreadsPerChild 64
MaxRequestWorkers 256
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
EnableSendfile On
<Directory "{self.root}">
  Dav On
  AllowOverride None
  AuthType Basic
  AuthName bench
  AuthUserFile "{self.workdir}/users"
  Require valid-user
</Directory>
""",
        )
        self.spawn([exe, "-DFOREGROUND", "-f", conf])


class ApacheBcrypt(Apache):
    name = "apache-bcrypt"
    password_line = staticmethod(bcrypt_line)


PEERS = [Apache, ApacheBcrypt]
