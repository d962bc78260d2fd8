"""Which service is made of which: each once, when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from gateway.blobstore import Rewrapped
from gateway.blobstore import Rewrapping as RewrappingStore
from gateway.board.parts import open_board
from gateway.config import Config
from gateway.domain.contract.records import Contract
from gateway.domain.ids import Ids
from gateway.domain.tenant import Tenant
from gateway.hooks import TrafficSample
from gateway.masterkey import load_key_ring
from gateway.notices.parts import open_notices
from gateway.pluginhost import PluginHost
from gateway.policyfiles import open_policies
from gateway.service.accesskeys import AccessKeys
from gateway.service.accounts import Accounts
from gateway.service.attests import Attests
from gateway.service.audit import Audit
from gateway.service.backups import Backups
from gateway.service.billing import BillingServices, open_billing
from gateway.service.breakglass import BreakGlassService
from gateway.service.claims import Claims
from gateway.service.composed import Composed
from gateway.service.contracts import ContractServices, contract_services
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
from gateway.service.services import Services, SpaceServices, space_services
from gateway.service.slas import ServiceLevels
from gateway.service.snapshots import Snapshots
from gateway.service.standing import Standings
from gateway.service.sweeper import Sweeper
from gateway.service.switching import Switching
from gateway.service.takedowns import TakedownService
from gateway.service.tally import open_tally
from gateway.service.traffic import TrafficMeter
from gateway.service.unit_of_work import Database
from gateway.service.uploads import UploadSettings
from gateway.service.usage import UsageService
from gateway.service.watch import Watch, WatchSettings
from gateway.service.windows import ServiceWindows
from gateway.storages import note_contents, route_fact, staging_folder


class Wiring:
    """The parts that are there, and all services of a process from them."""

    def __init__(
        self,
        config: Config,
        db: Database,
        store: Composed,
        host: PluginHost,
        clock: Callable[[], int],
        boot_id: str,
    ) -> None:
        self.config = config
        self.db = db
        self.store = store
        self.host = host
        self.clock = clock
        self.boot_id = boot_id
        self.ids = Ids()
        self.staging = staging_folder(store, config.data_dir)

    def services(self) -> Services:
        """Everything, for whoever serves, works or commands."""
        accesskeys, erasures = self._accesskeys(), Erasures(self.db, self.store, self._subscribers)
        return Services(
            db=self.db,
            store=self.store,
            host=self.host,
            clock=self.clock,
            ids=self.ids,
            boot_id=self.boot_id,
            space=self.space,
            accounts=self.accounts,
            accesskeys=accesskeys,
            directory=self.directory,
            logins=Logins(self.directory, self.clock, open_tally(self.config.data_dir / "run" / "logins")),
            policies=self.policies,
            traffic=self._traffic(),
            outbox=self.outbox,
            sweeper=self.sweeper,
            health=self.health,
            fsck=Fsck(self.db, self.store, self.sweeper, self.space.settling, self.clock, self.space.damages),
            usage=self.usage,
            snapshots=Snapshots(self.db, self.clock),
            restoring=Restoring(self.db, self.store, self._subscribers, self.clock),
            standings=self.standings,
            contracts=self.contracts,
            notices=self._notices(),
            board=open_board(self.config.board, self.db, self.clock, self.standings, self.incidents, self.contracts),
            billing=self.billing,
            windows=ServiceWindows(self.db, self.clock, self.standings, self._is_enforced, self._keeps_regular),
            takedowns=TakedownService(self.db, self.space.settling, self.standings, self._is_enforced),
            breakglass=BreakGlassService(self.db, self.store, self.clock, self.policies.values),
            audit=Audit(self.db, self.clock),
            incidents=self.incidents,
            attests=self.attests,
            levels=self.levels,
            claims=self.claims,
            watch=self._watch(),
            deadlines=Deadlines(self.db, self.clock, self.incidents, self.claims, self.standings.values_of),
            backups=Backups(self.db, self.clock, self.attests, self.incidents, self.standings, self._backup_states),
            migration=Migration(self.db, self.store.inner, self.space.damages, self.clock),
            rewrapping=Rewrapping(self._key_places, accesskeys, erasures),
            erasures=erasures,
        )

    # -- spaces -------------------------------------------------------------------------------------------------------

    @cached_property
    def space(self) -> SpaceServices:
        config = self.config
        settings = UploadSettings(
            self.staging,
            config.http.max_upload,
            flush=config.durability == "full",
            on_rows=lambda: note_contents(config.data_dir),
        )
        return space_services(self.db, self.store, self.host, self.clock, self.ids, self.boot_id, settings)

    @cached_property
    def sweeper(self) -> Sweeper:
        return Sweeper(self.db, self.store, self.staging, self._subscribers, self.clock)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.db, self.host.subscribers, self.clock)

    def _subscribers(self) -> list[str]:
        return [one.name for one in self.host.subscribers()]

    def _traffic(self) -> TrafficMeter:
        db, host = self.db, self.host

        def book(samples: Sequence[TrafficSample]) -> None:
            db.write(lambda tx: host.traffic(samples, tx.usage), aside=True).result()

        return TrafficMeter(self.boot_id, self.clock, book)

    # -- who ----------------------------------------------------------------------------------------------------------

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self.db, self.ids, self.clock, self.space.settling)

    @cached_property
    def directory(self) -> Directory:
        return Directory(self.db, self.clock)

    def _accesskeys(self) -> AccessKeys:
        config = self.config
        return AccessKeys(
            self.db,
            self.directory,
            self.clock,
            lambda: load_key_ring(config.master_key, config.previous_master_key, config.data_dir),
        )

    # -- contracts ----------------------------------------------------------------------------------------------------

    @cached_property
    def policies(self) -> Policies:
        policies = open_policies(self.db, self.host.policy_kinds(), self.clock, self.config.policies)
        policies.contract_of = self._contract_of
        return policies

    @cached_property
    def standings(self) -> Standings:
        required = self.config.contracts == "required"
        return Standings(self.db, self.clock, required=required, values_of=self.policies.values_of)

    def _contract_of(self, tenant: Tenant) -> Contract | None:
        return self.standings.now().of_tenant.get(tenant.id)

    @cached_property
    def contracts(self) -> ContractServices:
        return contract_services(
            self.db, self.clock, self.ids, self.accounts, self.policies, self.standings, self._is_enforced
        )

    @cached_property
    def usage(self) -> UsageService:
        return UsageService(self.db, self.policies, self.clock, self._contract_of)

    @cached_property
    def billing(self) -> BillingServices:
        return open_billing(
            self.db,
            self.clock,
            self.ids,
            self.policies,
            self.usage,
            self.standings,
            self.host.exporters,
            lambda: self.host.implements("on_traffic"),
        )

    def _notices(self) -> NoticeServices:
        return open_notices(
            self.config,
            self.db,
            self.clock,
            self.contracts,
            self.standings,
            self.incidents.public,
            self.host.limits,
            self.health,
            self.billing.invoices.document,
        )

    # -- the service's own level --------------------------------------------------------------------------------------

    @cached_property
    def incidents(self) -> Incidents:
        return Incidents(self.db, self.clock, self.standings.forget)

    @cached_property
    def attests(self) -> Attests:
        return Attests(self.db, self.clock)

    @cached_property
    def levels(self) -> ServiceLevels:
        return ServiceLevels(self.clock, self.standings, self.incidents, self.attests, self._keeps_regular)

    @cached_property
    def claims(self) -> Claims:
        return Claims(self.db, self.clock, self.standings, self.levels, self.standings.forget)

    @cached_property
    def health(self) -> Health:
        durable = self.config.durability == "full"
        health = Health(self.db, self.store, self.host, self.outbox, self.clock, self.staging, durable=durable)
        health.add("billing", self.billing.waiting.health)
        health.add("storage.route", lambda: route_fact(self.config, self.store.inner))
        return health

    def _watch(self) -> Watch:
        incidents = self.config.incidents
        settings = WatchSettings(incidents.recognise == "automatic", int(incidents.after * 1000))
        return Watch(self.db, self.clock, self.health, self.incidents, settings, lambda: self.standings.now().windows)

    # -- what plugins say of themselves -------------------------------------------------------------------------------

    def _is_enforced(self) -> bool:
        return any(getattr(plugin.impl, "enforces_contracts", False) for plugin in self.host.plugins)

    def _keeps_regular(self) -> bool:
        return any(getattr(plugin.impl, "keeps_regular", False) for plugin in self.host.plugins)

    def _key_places(self) -> dict[str, Callable[[Callable[[Rewrapped], None]], Rewrapped]]:
        """What keeps keys that a master key wraps: the storages, and plugins with stores of their own."""
        store = self.store.inner
        stores = store.stores if isinstance(store, Switching) else {"storage": store}
        places = {label: one.rewrap_keys for label, one in stores.items() if isinstance(one, RewrappingStore)}
        plugins = {plugin.context.name: getattr(plugin.impl, "rewrap_keys", None) for plugin in self.host.plugins}
        return {**places, **{name: place for name, place in plugins.items() if callable(place)}}

    def _backup_states(self) -> dict[str, Any]:
        states = {plugin.context.name: getattr(plugin.impl, "backup_state", None) for plugin in self.host.plugins}
        return {name: state for name, state in states.items() if callable(state)}
