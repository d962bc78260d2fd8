"""All repositories on one session: what a unit of work is given."""

from __future__ import annotations

from gateway.db.repositories.acts import Acts, Documents
from gateway.db.repositories.archive import Archive
from gateway.db.repositories.blobs import Blobs
from gateway.db.repositories.events import Events
from gateway.db.repositories.kept import Kept
from gateway.db.repositories.leases import Leases
from gateway.db.repositories.locks import Locks
from gateway.db.repositories.nodes import Nodes
from gateway.db.repositories.parts import Parts
from gateway.db.repositories.policies import Policies
from gateway.db.repositories.refusals import Refusals
from gateway.db.repositories.small import SmallBlobs
from gateway.db.repositories.system import Systems
from gateway.db.repositories.takedowns import Takedowns
from gateway.db.repositories.tenants import Tenants
from gateway.db.repositories.users import Users
from gateway.db.session import Session
from gateway.db.usage import UsageRepository as Usages
from gateway.service.archive import ArchiveRepository
from gateway.service.keptrows import KeptRepository
from gateway.service.partrows import MultipartRepository
from gateway.service.smallrows import SmallBlobRepository
from gateway.service.unit_of_work import (
    ActRepository,
    BlobRepository,
    DocumentRepository,
    EventRepository,
    LeaseRepository,
    LockRepository,
    NodeRepository,
    PolicyRepository,
    RefusalRepository,
    SystemRepository,
    TakedownRepository,
    TenantRepository,
    UsageRepository,
    UserRepository,
)


class Transaction:
    """Implements ``Tx``. Made once for a session and used by its transactions one after another."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.tenants: TenantRepository = Tenants(session)
        self.users: UserRepository = Users(session)
        self.nodes: NodeRepository = Nodes(session)
        self.locks: LockRepository = Locks(session)
        self.events: EventRepository = Events(session)
        self.blobs: BlobRepository = Blobs(session)
        self.leases: LeaseRepository = Leases(session)
        self.refusals: RefusalRepository = Refusals(session)
        self.policies: PolicyRepository = Policies(session)
        self.system: SystemRepository = Systems(session)
        self.usage: UsageRepository = Usages(session)
        self.acts: ActRepository = Acts(session)
        self.documents: DocumentRepository = Documents(session)
        self.takedowns: TakedownRepository = Takedowns(session)
        self.archive: ArchiveRepository = Archive(session)
        self.kept: KeptRepository = Kept(session)
        self.multipart: MultipartRepository = Parts(session)
        self.small: SmallBlobRepository = SmallBlobs(session)
