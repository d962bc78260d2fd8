"""Policy documents on disk: the installation's own folder, and the defaults that come with the package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from gateway.config import ConfigError
from gateway.domain.contract.policies import KINDS, parser
from gateway.domain.issuer import parse_issuer
from gateway.domain.servicedocuments import parse_documents
from gateway.domain.terms import parse_plans
from gateway.hooks import PolicyKind
from gateway.service.policies import BadPolicy, Policies
from gateway.service.unit_of_work import Database
from gateway.yamlfile import load_yaml

PACKAGE = "policies"
SUFFIX = ".yaml"
CORE_KINDS = {
    "plans": PolicyKind("plans", parse_plans),
    "issuer": PolicyKind("issuer", parse_issuer),
    "documents": PolicyKind("documents", parse_documents),
    **{name: PolicyKind(name, parser(name)) for name in KINDS},
}


def open_policies(
    db: Database, plugin_kinds: Mapping[str, PolicyKind], clock: Callable[[], int], folder: Path
) -> Policies:
    """The policies of an installation. What has no version in the database yet is stored as version 1: from
    ``folder``, or from the package where the folder lacks it. ConfigError when such a document is bad."""
    kinds = {**CORE_KINDS, **plugin_kinds}
    policies = Policies(db, kinds, clock, load_yaml, defaults(kinds, folder))
    try:
        policies.seed()
    except BadPolicy as error:
        name = error.message.partition(":")[0]
        raise ConfigError(str(folder / (name + SUFFIX)), "", error.message, "correct it or take it away") from error
    return policies


def defaults(kinds: Iterable[str], folder: Path | None = None) -> dict[str, str]:
    """Kind → text of its document."""
    found = {}
    packaged = packaged_documents()
    for kind in kinds:
        own = folder / (kind + SUFFIX) if folder else None
        if own is not None and own.is_file():
            try:
                found[kind] = own.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(str(own), "", f"cannot be read: {error}", "check permissions and encoding") from error
        elif kind in packaged:
            found[kind] = packaged[kind]
    return found


def packaged_documents() -> dict[str, str]:
    """Name → text of all documents that come with the package."""
    return {
        item.name.removesuffix(SUFFIX): item.read_text("utf-8")
        for item in files(PACKAGE).iterdir()
        if item.name.endswith(SUFFIX)
    }
