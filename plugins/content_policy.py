"""content_policy: CEL rules from policies/content.yaml decide what a space may hold (DESIGN section 7).

Rules that need nothing but the head of a request refuse before the body; the others when all bytes are staged. Facts
are found out only when a rule of that tenant asks for them. Settings: ``max_pixels``, ``max_frames`` and
``image_memory``, ``image_seconds``, ``image_workers`` for images; ``max_member``, ``max_expanded``, ``max_depth``,
``max_entries``, ``bomb_ratio`` for archives.
"""

from __future__ import annotations

import contextlib
import hashlib
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from gateway.domain.errors import Disallowed, TypeRefused
from gateway.domain.fields import Fields, integer
from gateway.domain.tenant import Caller, Role, Tenant, TenantState, User
from gateway.domain.units import parse_duration, parse_size
from gateway.domain.upload import Declared, Outcome, StagedContent, UploadInfo, Verdict
from gateway.hooks import Change, PluginContext, PolicyKind, hookimpl
from plugins._archives import ArchiveLimits, may_be_archive
from plugins._facts import Provider, archive_facts, early_facts, image_facts, late_facts
from plugins._images import IMAGE_TYPES, ImageLimits, Images
from plugins._magic import HEAD, sniff
from plugins._rules import EARLY, MAPS, ContentPolicy, Rule, RuleFailed, parse_policy

NAME = "content_policy"
KIND = "content"
_SHOWN = ("format", "width", "height", "frames")


def create(context: PluginContext) -> ContentPolicyPlugin:
    """The entry point. ValueError for bad settings."""
    keys = Fields(context.settings)
    image, archive = ImageLimits(), ArchiveLimits()
    images = ImageLimits(
        pixels=keys.take("max_pixels", integer(1, 10**12), image.pixels),
        frames=keys.take("max_frames", integer(1, 10**6), image.frames),
        memory=keys.take("image_memory", parse_size, image.memory),
        seconds=keys.take("image_seconds", parse_duration, image.seconds),
        workers=keys.take("image_workers", integer(1, 64), image.workers),
    )
    # the defaults are those of virus_scan: then an archive is looked into once for both
    archives = ArchiveLimits(
        member=keys.take("max_member", parse_size, archive.member),
        expanded=keys.take("max_expanded", parse_size, archive.expanded),
        depth=keys.take("max_depth", integer(1, 100), archive.depth),
        entries=keys.take("max_entries", integer(1, 10**6), archive.entries),
        ratio=float(keys.take("bomb_ratio", integer(1, 10**6), int(archive.ratio))),
    )
    keys.done()
    return ContentPolicyPlugin(context, images, archives)


class ContentPolicyPlugin:
    keeps_deadlines = True
    """Archives and images are looked at under deadlines of their own."""

    def __init__(self, context: PluginContext, images: ImageLimits, archives: ArchiveLimits) -> None:
        self._context = context
        self._images = Images(images)
        self._alone = False
        self._archives = archives

    def close(self) -> None:
        """Ends the image workers."""
        self._images.close()

    def inspects_at_once(self, content: bytes) -> bool:
        """Images and archives are taken apart, and facts of other plugins may take their time; all else is looked at in
        microseconds."""
        return self._is_alone() and sniff(content[:HEAD]) not in IMAGE_TYPES and not may_be_archive(content)

    def _is_alone(self) -> bool:
        """Whether no other plugin has facts: that does not change once all are loaded."""
        if not self._alone and (others := self._others()) is not None:
            self._alone = others.keys() <= self.register_inspection_facts().keys()
        return self._alone

    # -- before the body ----------------------------------------------------------------------------------------------

    @hookimpl
    def check_upload(self, upload: UploadInfo) -> None:
        """Refuses by the rules that need no more than the head of the request."""
        policy = self._policy(upload.caller.tenant)
        # a rule that fails here fails again in check_content, where on_error may hold the content
        with contextlib.suppress(RuleFailed):
            self._refuse(policy, early_facts(upload))

    @hookimpl
    def check_change(self, change: Change) -> None:
        """A file that gets a new name is judged by it: else a forbidden name is one MOVE away from an allowed one."""
        node, target = change.node, change.destination
        if change.verb not in ("move", "copy") or node is None or node.version is None or not target:
            return
        if target[-1] == node.name:
            return
        version = node.version
        upload = UploadInfo(change.caller, target, Declared(version.size, version.content_type))
        policy = self._policy(change.caller.tenant)
        facts = {**early_facts(upload), "digest": version.sha256}
        if "sniffed_type" in policy.roots and version.blob_id:
            with self._context.blobs.open(version.blob_id, 0, HEAD) as head:
                facts["sniffed_type"] = sniff(head.read(HEAD))
        self._refuse(policy, facts)

    def _refuse(self, policy: ContentPolicy, facts: Mapping[str, Any]) -> None:
        for rule in policy.rules:
            if rule.then is Outcome.REFUSE and rule.roots <= facts.keys() and rule.matches(facts):
                kind = TypeRefused if rule.error == TypeRefused.code else Disallowed
                raise kind(rule.reason, policy=rule.id, clause=rule.clause)

    # -- all bytes are here -------------------------------------------------------------------------------------------

    @hookimpl
    def check_content(self, upload: UploadInfo, staged: StagedContent) -> Verdict | None:
        """The gravest verdict of all rules. RuleFailed (and so ``on_error``) when one cannot be told."""
        policy = self._policy(upload.caller.tenant)
        if policy.blocklist is not None and staged.sha256 in policy.blocked:
            return policy.blocklist
        with staged.open() as file:
            facts = late_facts(upload, file, staged.size, staged.sha256, policy.roots, self._providers())
        verdicts = [rule.verdict() for rule in policy.matching(facts)]
        return max(verdicts, key=lambda one: one.severity, default=None)

    @hookimpl
    def describe_content(self, upload: UploadInfo, staged: StagedContent) -> Mapping[str, str] | None:  # noqa: ARG002
        """``image.format``, ``image.width``, ``image.height`` and (if more than one) ``image.frames``."""
        if staged.size == 0:
            return None
        with staged.open() as file:
            facts = image_facts(self._images, file)
        shown = {key: facts[key] for key in _SHOWN if key in facts}
        if shown.get("frames") == 1:
            del shown["frames"]
        return {f"image.{key}": str(value) for key, value in shown.items()}

    @hookimpl
    def register_inspection_facts(self) -> Mapping[str, Provider]:
        return {
            "image": lambda _, file: image_facts(self._images, file),
            "archive": lambda _, file: archive_facts(self._archives, file),
        }

    def _policy(self, tenant: Tenant) -> ContentPolicy:
        policy: ContentPolicy = self._context.policy(KIND, tenant)
        return policy

    def _providers(self) -> Mapping[str, Provider]:
        return {**(self._others() or {}), **self.register_inspection_facts()}

    def _others(self) -> Mapping[str, Provider] | None:
        """Facts of other plugins; None while they are not known yet."""
        if self._context.services is None:
            return None
        try:
            found: Mapping[str, Provider] = self._context.services.host.facts()
        except RuntimeError:
            return None
        return found

    # -- the document -------------------------------------------------------------------------------------------------

    @hookimpl
    def register_policies(self) -> Iterable[PolicyKind]:
        return [PolicyKind(KIND, self._parse, self.explain)]

    def _parse(self, document: Mapping[str, Any]) -> ContentPolicy:
        return parse_policy(document, self._others())

    def explain(self, policy: ContentPolicy, file: Path) -> Sequence[str]:
        """What the policy would do with a local file, rule by rule, and why. OSError when it cannot be read."""
        declared = Declared(file.stat().st_size, mimetypes.guess_type(file.name)[0] or "")
        upload = UploadInfo(_NOBODY, (file.name,), declared)
        with file.open("rb") as content:
            digest = _sha256(content)
            roots = policy.roots | {"sniffed_type", *MAPS}
            facts = late_facts(upload, content, file.stat().st_size, digest, roots, self._providers())
        lines = [
            f"{file.name}: {facts['size']} bytes, declared {facts['type'] or '-'}, looks like {facts['sniffed_type']}"
        ]
        blocked = policy.blocklist is not None and digest in policy.blocked
        verdicts = [policy.blocklist] if blocked and policy.blocklist else []
        lines += ["blocklist: REFUSE: the digest is on the list"] if blocked else []
        for rule in policy.rules:
            line, verdict = _explain_rule(rule, facts)
            lines.append(line)
            verdicts += [verdict] if verdict else []
        worst = max(verdicts, key=lambda one: one.severity, default=None)
        lines.append(
            f"verdict of these rules: {worst.outcome} ({worst.policy}, {worst.clause})"
            if worst
            else "verdict of these rules: clean"
        )
        return lines


def _explain_rule(rule: Rule, facts: Mapping[str, Any]) -> tuple[str, Verdict | None]:
    when = "before the body" if rule.roots <= EARLY and rule.then is Outcome.REFUSE else "when all bytes are there"
    known = ", ".join(_known(rule, facts))
    try:
        matches = rule.matches(facts)
    except (RuleFailed, KeyError) as failure:
        return f"{rule.id} [{rule.clause}]: FAILS, on_error decides: {failure} ({known})", None
    if not matches:
        return f"{rule.id} [{rule.clause}]: does not apply ({known})", None
    return f"{rule.id} [{rule.clause}]: {rule.then.upper()} {when}: {rule.reason} ({known})", rule.verdict()


def _known(rule: Rule, facts: Mapping[str, Any]) -> Iterable[str]:
    """The facts that the rule looks at, as ``image.pixels=12``; of a map that does not apply, ``image={}``."""
    for root in sorted(rule.roots & facts.keys()):
        value = facts[root]
        if not isinstance(value, Mapping):
            yield f"{root}={_short(value)}"
            continue
        used = [key for key in value if f"{root}.{key}" in rule.when]
        yield from [f"{root}.{key}={_short(value[key])}" for key in used] or [f"{root}={{}}" if not value else root]


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(1024 * 1024):
        digest.update(block)
    return digest.hexdigest()


_NOBODY = Caller(
    Tenant(0, "nobody", "", TenantState.ACTIVE, None, None, False, 0, 0),
    User(0, 0, "nobody", "", Role.VIEWER, False, 0),
)
