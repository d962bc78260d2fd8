"""For tests that drive a running gateway with programs that are not ours."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.testing.needs import find_program
from gateway.testing.server import RunningGateway, start_gateway

NAMES = (
    "report.txt",
    "レポート.txt",
    "100% #1; a&b.bin",
    "ｆｕｌｌ width 😀",
    "dot.",
    "  spaces  ",
    "がぎぐ",
    "UPPER",
    "~back'up\"",
)


USER, PASSWORD = "bob", "Tr0ub4dor&3"


@dataclass(frozen=True)
class Space:
    """Where a space is mounted and who may write to it; ``url`` ends with a slash."""

    url: str
    user: str
    password: str
    gateway: RunningGateway

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def netrc(self) -> str:
        return f"machine {self.host} login {self.user} password {self.password}\n"


@contextmanager
def running_space(folder: Path) -> Iterator[Space]:
    """A real gateway with one tenant, for as long as the block lasts."""
    with start_gateway(folder) as gateway:
        # a password without blanks: netrc files of old programs cannot quote
        gateway.add_user(gateway.tenant, USER, PASSWORD, "owner")
        yield Space(gateway.dav_url, USER, PASSWORD, gateway)


@dataclass(frozen=True)
class Done:
    status: int
    output: str
    errors: str


def run(
    *command: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    text: str | None = None,
    timeout: float = 900,
    check: bool = True,
) -> Done:
    """Runs a program that :func:`gateway.testing.needs.find_program` finds; fails the test unless it ends with 0."""
    program = find_program(str(command[0])) or str(command[0])
    done = subprocess.run(
        [program, *map(str, command[1:])],
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
        input=text,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=timeout,
        check=False,
    )
    assert not check or done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return Done(done.returncode, done.stdout, done.stderr)


def make_tree(folder: Path, files: int, seed: int = 1) -> None:
    """A tree of ``files`` files with the names that people use: empty, small and a few of a megabyte."""
    dice = random.Random(seed)
    folders = [folder]
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(max(1, files // 20)):
        child = dice.choice(folders) / f"{number:02d} {dice.choice(NAMES)}"
        child.mkdir()
        folders.append(child)
    for number in range(files):
        size = 0 if number % 50 == 0 else 1_500_000 if number % 251 == 7 else dice.randrange(1, 9_000)
        name = f"{number:04d} {dice.choice(NAMES)}"
        (folders[number % len(folders)] / name).write_bytes(dice.randbytes(size))


def tree_of(folder: Path, ignore: tuple[str, ...] = ()) -> dict[str, str]:
    """Relative path → digest of a file, "folder" of a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name in ignore:
            continue
        name = str(path.relative_to(folder))
        found[name] = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    return found
