"""All hooks, the two markers, and the manager that calls plugins in their order under their own ``on_error``.

A plugin is an object with functions marked ``@hookimpl``; it asks only for the arguments it needs. Three kinds, told
apart by prefix: ``check_*``, ``open_inspector``, ``describe_content`` and ``quota_limit`` run before a commit and may
refuse by raising an error of ``gateway.domain.errors`` (describe_content may not); ``on_*`` run after it, at least once
and in order per tenant; ``register_*`` run at start. docs/hooks.md shows each one at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import pluggy

from gateway.blobstore import BlobStore
from gateway.domain.events import Event
from gateway.domain.node import Node
from gateway.domain.tenant import Caller, Limits, Tenant
from gateway.domain.upload import StagedContent, UploadInfo, Verdict

if TYPE_CHECKING:
    import click

PROJECT = "kurado"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# -- values that hooks see --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """An authenticated request before anything of it was done. ``writes`` is True for verbs that change the space."""

    caller: Caller
    path: tuple[str, ...]
    writes: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the tree about to be made. ``verb``: move, copy, delete, overwrite, properties, create.

    ``node`` is the node acted upon (None for create), ``destination`` the path of a move or copy.
    """

    caller: Caller
    verb: str
    path: tuple[str, ...]
    node: Node | None = None
    destination: tuple[str, ...] | None = None


class Inspector(Protocol):
    """Judges an upload while it is received. Used by one thread; ``finish`` or ``abort`` ends it."""

    def feed(self, block: bytes) -> None:
        """Takes the next bytes. May raise a domain error to refuse at once."""

    def finish(self) -> Verdict:
        """Called after the last byte; says what was found."""

    def abort(self) -> None:
        """The upload is over without a verdict: give everything back."""


@dataclass(frozen=True, slots=True)
class TrafficSample:
    """What one gate did for one tenant since its last sample; (``boot_id``, ``n``) names it for ever.

    ``requests`` counts by class: read, write, list, lock, other. ``at`` is ms UTC. ``tenant_id`` 0 with no figures: the
    gate says that it had nothing to report up to then.
    """

    boot_id: str
    n: int
    tenant_id: int
    at: int
    bytes_in: int
    bytes_out: int
    refusals: int
    requests: Mapping[str, int]


EXTERNAL = "external."
"""What the names of health facts begin with that tell of another company's service (EXT-02)."""


@dataclass(frozen=True, slots=True)
class HealthFact:
    """One line of ``doctor``, ``/readyz`` and ``/metrics``: ``value`` is a number for metrics, ``message`` for people.

    ``level``: ok, warning (works, but look), error.
    """

    name: str
    level: str
    message: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Something the steward does again and again, on one machine at a time. ``every`` in seconds."""

    name: str
    every: float
    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class PolicyKind:
    """A document under ``policies/``: ``parse`` turns the loaded YAML into a frozen value, or raises ValueError with
    key path and fix. ``explain`` (optional) says of a local file what the policy would do."""

    name: str
    parse: Callable[[Mapping[str, Any]], Any]
    explain: Callable[[Any, Path], Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Exporter:
    """A billing export format. ``render`` gets the statement of a closed or running period and returns the file."""

    format: str
    render: Callable[[Any], bytes]


class UsageLedger(Protocol):
    """Where metering keeps its records; every call is idempotent. See ``service/usage.py`` for the implementation."""

    def storage_event(self, event: Event) -> None:
        """Books the usage figures of a committed event."""

    def traffic(self, samples: Sequence[TrafficSample]) -> None:
        """Books traffic samples, each once."""


@dataclass(frozen=True)
class PluginContext:
    """What a plugin gets when it is made.

    ``settings`` are its own keys in gateway.yaml, without ``name``, ``on_error`` and ``timeout``. ``policy(name,
    tenant)`` gives the parsed document in force for a tenant. ``backend(settings)`` opens a storage backend by
    ``settings["backend"]``. ``blobs`` are the gateway's own. ``clock`` gives ms UTC. ``alarm(kind, subject, message)``
    raises an operator alarm, with message None clears it.
    """

    name: str
    settings: Mapping[str, Any]
    on_error: str
    timeout: float | None
    data_dir: Path
    demo: bool
    clock: Callable[[], int]
    blobs: BlobStore
    backend: Callable[[Mapping[str, Any]], BlobStore]
    policy: Callable[[str, Tenant | None], Any]
    alarm: Callable[[str, str, str | None], None]
    services: Any = None
    """The service façade (``gateway.service.services.Services``), for jobs and commands; None in unit tests."""


class PluginFactory(Protocol):
    """What an entry point of ``kurado.plugins`` names. Bad settings raise ValueError naming the key."""

    def __call__(self, context: PluginContext) -> object: ...


# -- the hooks --------------------------------------------------------------------------------------------------------


class Specs:
    """Every hook, one contract each."""

    @hookspec
    def check_request(self, request: Request) -> None:
        """Each request after authentication, before anything else: contract state, maintenance, rate limit."""

    @hookspec
    def quota_limit(self, tenant: Tenant) -> Limits | None:
        """The tenant's limits, asked whenever usage is settled; the smallest answer of all plugins counts."""

    @hookspec
    def check_upload(self, upload: UploadInfo) -> None:
        """Before the first body byte (and before 100 Continue): names, declared type and size."""

    @hookspec
    def open_inspector(self, upload: UploadInfo) -> Inspector | None:
        """Once an upload was admitted: an object that is fed every block."""

    @hookspec
    def check_content(self, upload: UploadInfo, staged: StagedContent) -> Verdict | None:
        """All bytes are staged, none is visible. Returns a verdict (None is clean) or raises to refuse."""

    @hookspec
    def describe_content(self, upload: UploadInfo, staged: StagedContent) -> Mapping[str, str] | None:
        """Facts that become live, read-only properties (``image.width``); may not refuse, failures are alarms."""

    @hookspec
    def check_change(self, change: Change) -> None:
        """Before a move, copy, delete, overwrite, property change or MKCOL."""

    @hookspec
    def check_download(self, caller: Caller, node: Node) -> None:
        """Before content is read, by GET or as the source of COPY."""

    @hookspec
    def on_event(self, event: Event, ledger: UsageLedger | None) -> None:
        """A committed event, in order per tenant, at least once: be idempotent by (tenant_id, seq).

        ``ledger`` is given to plugins with a true attribute ``in_transaction``: what they book there commits together
        with their cursor. All others get None and may take their time; raising BackendUnavailable is retried for ever
        with growing pauses, any other exception ten times before the event is parked with an alarm.
        """

    @hookspec
    def on_traffic(self, samples: Sequence[TrafficSample], ledger: UsageLedger) -> None:
        """Batched traffic samples, at most one second old, in a transaction."""

    @hookspec
    def register_jobs(self) -> Iterable[Job] | None:
        """Jobs for the steward."""

    @hookspec
    def register_health(self) -> Iterable[Callable[[], HealthFact]] | None:
        """Health checks for ``doctor`` and the steward; each answers within its own deadline of at most 5 s."""

    @hookspec
    def register_commands(self, cli: click.Group) -> None:
        """Adds click commands. ``click.get_current_context().obj.services`` are the services, opened on first use."""

    @hookspec
    def register_policies(self) -> Iterable[PolicyKind] | None:
        """Kinds of policy documents that this plugin reads."""

    @hookspec
    def register_inspection_facts(self) -> Mapping[str, Callable[[UploadInfo, BinaryIO], Mapping[str, Any]]] | None:
        """Root name → provider of facts for content rules; called only if a rule of the tenant names the root."""

    @hookspec
    def register_exporters(self) -> Iterable[Exporter] | None:
        """Billing export formats."""
