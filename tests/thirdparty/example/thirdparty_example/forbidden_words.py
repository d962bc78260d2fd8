"""A veto plugin: no file may be called by a forbidden word, however it gets its name.

Settings: ``words``, a list.
"""

from __future__ import annotations

from gateway.domain.errors import Disallowed
from gateway.domain.upload import UploadInfo
from gateway.hooks import Change, PluginContext, hookimpl


def create(context: PluginContext) -> ForbiddenWords:
    unknown = set(context.settings) - {"words"}
    if unknown:
        raise ValueError(f"{unknown.pop()}: unknown setting; words is the only one")
    return ForbiddenWords([str(word).casefold() for word in context.settings.get("words", [])])


class ForbiddenWords:
    def __init__(self, words: list[str]) -> None:
        self._words = words

    @hookimpl
    def check_upload(self, upload: UploadInfo) -> None:
        self._judge(upload.path)

    @hookimpl
    def check_change(self, change: Change) -> None:
        self._judge(change.destination or (change.path if change.verb == "create" else ()))

    def _judge(self, path: tuple[str, ...]) -> None:
        name = path[-1].casefold() if path else ""
        for word in self._words:
            if word in name:
                raise Disallowed(f"names may not hold {word!r}", policy="forbidden_words", clause="FW-1")
