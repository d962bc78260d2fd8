"""All services of one process, made once by the composition root and shared by every protocol, job and command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.blobstore import BlobStore
from gateway.domain.ids import Ids
from gateway.pluginhost import PluginHost
from gateway.service.buckets import Buckets
from gateway.service.damages import Damages
from gateway.service.files import Files
from gateway.service.holds import Holds
from gateway.service.locks import Locks
from gateway.service.multipart import Multipart
from gateway.service.objects import Objects
from gateway.service.refusals import Refusals
from gateway.service.settling import Settling
from gateway.service.trees import Trees
from gateway.service.unit_of_work import Database
from gateway.service.uploads import Uploads, UploadSettings
from gateway.service.versions import Versions

if TYPE_CHECKING:
    from gateway.board.writing import BoardWriter
    from gateway.service.accesskeys import AccessKeys
    from gateway.service.accounts import Accounts
    from gateway.service.attests import Attests
    from gateway.service.audit import Audit
    from gateway.service.backups import Backups
    from gateway.service.billing import BillingServices
    from gateway.service.breakglass import BreakGlassService
    from gateway.service.claims import Claims
    from gateway.service.contracts import ContractServices
    from gateway.service.deadlines import Deadlines
    from gateway.service.directory import Directory
    from gateway.service.erasures import Erasures
    from gateway.service.fsck import Fsck
    from gateway.service.health import Health
    from gateway.service.incidents import Incidents
    from gateway.service.logins import Logins
    from gateway.service.migration import Migration
    from gateway.service.notices import NoticeServices
    from gateway.service.outbox import Outbox
    from gateway.service.policies import Policies
    from gateway.service.restore import Restoring
    from gateway.service.rewrapping import Rewrapping
    from gateway.service.slas import ServiceLevels
    from gateway.service.snapshots import Snapshots
    from gateway.service.standing import Standings
    from gateway.service.sweeper import Sweeper
    from gateway.service.takedowns import TakedownService
    from gateway.service.traffic import TrafficMeter
    from gateway.service.usage import UsageService
    from gateway.service.watch import Watch
    from gateway.service.windows import ServiceWindows


@dataclass(frozen=True)
class SpaceServices:
    """The write path: what changes or reads a space."""

    settling: Settling
    trees: Trees
    uploads: Uploads
    files: Files
    locks: Locks
    holds: Holds
    refusals: Refusals
    buckets: Buckets
    objects: Objects
    damages: Damages
    multipart: Multipart
    versions: Versions


@dataclass(frozen=True)
class Services:
    """``space`` services are also reachable by their own names, for short."""

    db: Database
    store: BlobStore
    host: PluginHost
    clock: Callable[[], int]
    ids: Ids
    boot_id: str
    space: SpaceServices
    accounts: Accounts
    accesskeys: AccessKeys
    directory: Directory
    logins: Logins
    policies: Policies
    traffic: TrafficMeter
    outbox: Outbox
    sweeper: Sweeper
    health: Health
    fsck: Fsck
    usage: UsageService
    snapshots: Snapshots
    restoring: Restoring
    standings: Standings
    contracts: ContractServices
    billing: BillingServices
    notices: NoticeServices
    board: BoardWriter
    windows: ServiceWindows
    takedowns: TakedownService
    breakglass: BreakGlassService
    audit: Audit
    incidents: Incidents
    attests: Attests
    levels: ServiceLevels
    claims: Claims
    watch: Watch
    deadlines: Deadlines
    backups: Backups
    erasures: Erasures
    migration: Migration
    rewrapping: Rewrapping

    @property
    def trees(self) -> Trees:
        return self.space.trees

    @property
    def uploads(self) -> Uploads:
        return self.space.uploads

    @property
    def files(self) -> Files:
        return self.space.files

    @property
    def locks(self) -> Locks:
        return self.space.locks

    @property
    def holds(self) -> Holds:
        return self.space.holds

    @property
    def buckets(self) -> Buckets:
        return self.space.buckets

    @property
    def objects(self) -> Objects:
        return self.space.objects

    @property
    def multipart(self) -> Multipart:
        return self.space.multipart

    @property
    def versions(self) -> Versions:
        return self.space.versions

    @property
    def damages(self) -> Damages:
        return self.space.damages

    @property
    def refusals(self) -> Refusals:
        return self.space.refusals


def space_services(
    db: Database,
    store: BlobStore,
    host: PluginHost,
    clock: Callable[[], int],
    ids: Ids,
    boot_id: str,
    upload_settings: UploadSettings,
) -> SpaceServices:
    """Builds the write path of one process."""
    settling = Settling(host, clock, boot_id)
    damages = Damages(db, clock)
    trees = Trees(db, settling, ids)
    uploads = Uploads(db, store, host, settling, ids, upload_settings)
    return SpaceServices(
        settling=settling,
        trees=trees,
        uploads=uploads,
        files=Files(db, store, host, settling, ids, trees, damages),
        locks=Locks(db, host, settling, uploads),
        holds=Holds(db, store, settling),
        refusals=Refusals(db, clock),
        buckets=Buckets(db, host, settling, ids, trees),
        objects=Objects(db, host, settling, ids, trees),
        damages=damages,
        multipart=Multipart(uploads),
        versions=Versions(db, host, settling, ids, trees),
    )
