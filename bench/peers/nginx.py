"""nginx with the dav module and dav-ext. BENCH_NGINX, BENCH_NGINX_MODULES."""

import os
import re
import subprocess

from peers.apache import sha_line
from peers.base import Server, binary


def modules_dir(exe):
    told = os.environ.get("BENCH_NGINX_MODULES")
    if told:
        return told
    text = subprocess.run([exe, "-V"], stderr=subprocess.PIPE, text=True).stderr
    return re.search(r"--modules-path=(\S+)", text).group(1)


class Nginx(Server):
    name = "nginx"
    skip = {"creative": "no PROPPATCH"}
    location = """
      root {root};
      dav_methods PUT DELETE MKCOL COPY MOVE;
      dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
      dav_ext_lock zone=locks;
      auth_basic bench;
      auth_basic_user_file {work}/users;"""
    top = "load_module {modules}/ngx_http_dav_ext_module.so;"
    http = "dav_ext_lock_zone zone=locks:10m;"

    def launch(self):
        exe = binary("BENCH_NGINX", "nginx")
        self.write("users", sha_line())
        for name in ("tmp", "logs"):
            os.makedirs(os.path.join(self.workdir, name), exist_ok=True)
        fill = {"root": self.root, "work": self.workdir, "modules": modules_dir(exe)}
        user = "user root;" if os.getuid() == 0 else ""
        conf = self.write(
            "nginx.conf",
            f"""{user}
worker_processes 2;
daemon off;
pid {self.workdir}/pid;
error_log {self.workdir}/error.log error;
{self.top.format(**fill)}
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  keepalive_timeout 75;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path {self.workdir}/tmp/body;
  proxy_temp_path {self.workdir}/tmp/p; fastcgi_temp_path {self.workdir}/tmp/f;
  uwsgi_temp_path {self.workdir}/tmp/u; scgi_temp_path {self.workdir}/tmp/s;
  {self.http}
  server {{
    listen 127.0.0.1:{self.port};
    location / {{{self.location.format(**fill)}
    }}
  }}
}}
""",
        )
        self.spawn([exe, "-p", self.workdir, "-e", self.workdir + "/error.log", "-c", conf])


PEERS = [Nginx]
