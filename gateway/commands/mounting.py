"""How to mount a space as a network drive, for people who read it on a terminal. The facts are docs/clients.md's."""

from __future__ import annotations

from urllib.parse import urlsplit

_TEXT = """
kurado is ready.

  WebDAV     {url}
  login      {login}
  password   {password}
  desk       {desk}/

Mount it on Linux (davfs2; `apt install davfs2`, as root):
  mkdir -p /mnt/kurado
  echo 'use_locks 1' >> /etc/davfs2/davfs2.conf
  echo '{url} {login} {password}' >> /etc/davfs2/secrets
  mount -t davfs {url} /mnt/kurado
  On Linux 6.16 and later, davfs2 before 1.7.2 also needs `buf_size 64` in davfs2.conf, or listings fail (EINVAL).

Or without root, with gvfs or with rclone (its mount needs `apt install fuse3`):
  gio mount {gio}
  rclone config create kurado webdav url={url} vendor=owncloud user={login} pass='{password}' --obscure
  rclone lsf kurado:
  mkdir -p ~/kurado && rclone mount kurado: ~/kurado --vfs-cache-mode full --daemon
  fusermount3 -u ~/kurado

Mount it on Windows (cmd):
  net use K: {url} /user:{login} {password}
  Windows refuses Basic logins over plain http until, as administrator, BasicAuthLevel is 2, and files above 50 MB
  until FileSizeLimitInBytes is raised:
  set P=HKLM\\SYSTEM\\CurrentControlSet\\Services\\WebClient\\Parameters
  reg add %P% /v BasicAuthLevel /t REG_DWORD /d 2 /f
  reg add %P% /v FileSizeLimitInBytes /t REG_DWORD /d 4294967295 /f
  net stop webclient & net start webclient

Mount it on macOS:
  mkdir -p ~/kurado && mount_webdav -i -v kurado {url} ~/kurado
  or in Finder: Go > Connect to Server (Cmd-K), {url}

Ctrl-C stops; what is under way is finished first.
"""


def mount_help(dav: str, desk: str, tenant: str, login: str, password: str) -> str:
    """The text for one space. ``dav`` and ``desk`` are URLs without a path."""
    url = f"{dav}/dav/{tenant}/"
    parts = urlsplit(url)
    scheme = "davs" if parts.scheme == "https" else "dav"
    return _TEXT.format(
        url=url, desk=desk, login=login, password=password, gio=f"{scheme}://{login}@{parts.netloc}{parts.path}"
    )
