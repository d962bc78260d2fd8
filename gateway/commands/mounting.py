"""How to mount a space as a network drive, for people who read it on a terminal. The facts are docs/clients.md's."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

_TEXT = """
kurado is ready.

  WebDAV     {url}
  login      {login}
  password   {password}
  desk       {desk}/
  S3         {s3}
  access key {access_key}
  secret key {secret_key}

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

Or the same files by the S3 API; the folders at the top of the space are its buckets:
  export AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY={secret_key} AWS_REGION=us-east-1
  aws --endpoint-url {s3} s3 mb s3://photos && aws --endpoint-url {s3} s3 ls

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


def mount_help(urls: Mapping[str, str], tenant: str, login: str, password: str, key: tuple[str, str]) -> str:
    """The text for one space. ``urls`` are those of the listeners, without a path; ``key`` is an access key and its
    secret."""
    dav, desk, s3 = urls["dav"], urls["desk"], urls["s3"]
    url = f"{dav}/dav/{tenant}/"
    parts = urlsplit(url)
    scheme = "davs" if parts.scheme == "https" else "dav"
    return _TEXT.format(
        url=url,
        desk=desk,
        login=login,
        password=password,
        gio=f"{scheme}://{login}@{parts.netloc}{parts.path}",
        s3=s3,
        access_key=key[0],
        secret_key=key[1],
    )
