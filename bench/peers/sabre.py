"""sabre/dav (PHP) in php-fpm behind nginx. BENCH_PHP_FPM, BENCH_SABRE_AUTOLOAD (default: PHP's include path)."""

import os

from peers.base import PASSWORD, USER, binary
from peers.nginx import Nginx

SERVER = """<?php
error_reporting(0);
require %(autoload)s;
class Basic extends Sabre\\DAV\\Auth\\Backend\\AbstractBasic {
  protected function validateUserPass($u, $p) { return $u === '%(user)s' && $p === '%(password)s'; }
}
$server = new Sabre\\DAV\\Server(new Sabre\\DAV\\FS\\Directory('%(root)s'));
$server->setBaseUri('/');
$server->addPlugin(new Sabre\\DAV\\Auth\\Plugin(new Basic(), 'bench'));
$server->addPlugin(new Sabre\\DAV\\Locks\\Plugin(new Sabre\\DAV\\Locks\\Backend\\File('%(work)s/locks.dat')));
$server->exec();
"""


class Sabre(Nginx):
    name = "sabre"
    skip = {}
    top = http = ""
    location = """
      fastcgi_pass unix:{work}/fpm.sock;
      fastcgi_buffering off; fastcgi_request_buffering off;
      fastcgi_param SCRIPT_FILENAME {work}/server.php;
      fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param QUERY_STRING $query_string; fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param SERVER_NAME 127.0.0.1; fastcgi_param SERVER_PORT $server_port;
      fastcgi_param HTTP_HOST $http_host;"""

    def launch(self):
        autoload = os.environ.get("BENCH_SABRE_AUTOLOAD", "Sabre/autoload.php")
        self.write(
            "server.php",
            SERVER
            % {"autoload": repr(autoload), "user": USER, "password": PASSWORD, "root": self.root, "work": self.workdir},
        )
        conf = self.write(
            "fpm.conf",
            f"""[global]
error_log = {self.workdir}/fpm.log
[bench]
listen = {self.workdir}/fpm.sock
pm = static
pm.max_children = 8
{"user = root" + chr(10) + "group = root" if os.getuid() == 0 else ""}
php_admin_value[memory_limit] = 1G
php_admin_value[output_buffering] = 0
""",
        )
        fpm = binary("BENCH_PHP_FPM", "php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm")
        self.spawn([fpm, "-F", "-y", conf] + (["-R"] if os.getuid() == 0 else []))
        super().launch()


PEERS = [Sabre]
