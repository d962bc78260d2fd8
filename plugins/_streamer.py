"""The operator's program that talks to the video service of another company, one call for each thing to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

PUT_SECONDS, SHORT_SECONDS, CHECK_SECONDS = 6 * 3600.0, 60.0, 4.0
NOT_TAKEN = 65
"""Exit status by which the program says that the service takes no such video (EX_DATAERR)."""

_MOST = 500


class StreamerFault(Exception):
    """The program failed, or the service does not answer: try again later."""


class VideoNotTaken(Exception):
    """The service refuses this video for good."""


class Streamer:
    """``PROGRAM put`` reads the video from standard input and prints the playback reference, ``PROGRAM delete
    REFERENCE`` removes it (also one that is gone), ``PROGRAM health`` exits with 0 while the service works."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    def put(self, content: BinaryIO, about: Mapping[str, str]) -> str:
        """The playback reference of a video that was handed over. ``about``: KURADO_… variables of the environment.
        StreamerFault, VideoNotTaken."""
        with tempfile.TemporaryFile() as video:  # a program that stops reading must not hang the reader of the store
            shutil.copyfileobj(content, video, 1 << 20)
            video.seek(0)
            reference = self._run(["put"], PUT_SECONDS, video, about).strip()
        if not reference or len(reference) > _MOST or not reference.isprintable():
            raise StreamerFault(f"the program printed no reference of 1 to {_MOST} characters in one line")
        return reference

    def delete(self, reference: str) -> None:
        """Removes a video from the service. StreamerFault."""
        self._run(["delete", reference], SHORT_SECONDS)

    def check(self) -> None:
        """StreamerFault when the service does not work."""
        self._run(["health"], CHECK_SECONDS)

    def _run(
        self, arguments: Sequence[str], seconds: float, content: BinaryIO | None = None, about: Mapping[str, str] = {}
    ) -> str:
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                stdin=subprocess.DEVNULL if content is None else content,
                capture_output=True,
                timeout=seconds,
                env={**os.environ, **about},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StreamerFault(f"{Path(self._command[0]).name} {arguments[0]} took over {seconds:g} s") from None
        except OSError as error:
            raise StreamerFault(f"{self._command[0]} cannot be run: {error.strerror}") from error
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[-1][:_MOST] if said else f"exit status {done.returncode}"
        if done.returncode == NOT_TAKEN and content is not None:
            raise VideoNotTaken(why)
        if done.returncode:
            raise StreamerFault(why)
        return done.stdout.decode("utf-8", "replace")
