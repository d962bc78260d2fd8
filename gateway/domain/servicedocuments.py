"""The documents that define the service (RULES SVC-03): terms, provision rules, usage environment, operating standard,
and the privacy policy that is shown before an application (APP-02). Each version of this list is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.fields import FieldError, Fields, text

NAMES = ("terms", "sla", "environment", "operation", "privacy")


@dataclass(frozen=True, slots=True)
class ServiceDocument:
    """``version`` is what an application names; ``where`` it can be read, ``sha256`` of what stands there."""

    name: str
    version: str
    title_ja: str
    title_en: str
    where: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class ServiceDocuments:
    documents: Mapping[str, ServiceDocument]

    def version(self, name: str) -> str | None:
        """The version in force; None where the operator has not said which."""
        one = self.documents.get(name)
        return one.version if one else None


def parse_documents(document: Mapping[str, Any]) -> ServiceDocuments:
    """FieldError for an unknown document or one without its version."""
    top = Fields(document)
    found = {}
    for name in NAMES:
        if top.has(name):
            found[name] = _one(name, top.section(name))
        else:
            top.take(name, lambda _value: None, None)
    top.done()
    return ServiceDocuments(found)


def _one(name: str, fields: Fields) -> ServiceDocument:
    one = ServiceDocument(
        name,
        fields.take("version", _version),
        fields.take("title_ja", text),
        fields.take("title_en", text),
        fields.take("where", text, ""),
        fields.take("sha256", text, ""),
    )
    fields.done()
    if one.sha256 and (len(one.sha256) != 64 or not set(one.sha256) <= set("0123456789abcdef")):
        raise FieldError(fields.at("sha256"), "is no SHA-256 in hexadecimal", "take what `sha256sum FILE` prints")
    return one


def _version(value: object) -> str:
    """A version, also one that YAML reads as a date or a number."""
    shown = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text(shown)
