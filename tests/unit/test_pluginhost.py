"""Loading plugins, and calling each under its own on_error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.domain.errors import (
    BackendUnavailable,
    Forbidden,
    Infected,
    InspectorUnavailable,
    KuradoError,
    Maintenance,
    Unavailable,
)
from gateway.domain.events import Event
from gateway.domain.tenant import Caller, Limits, Role, Tenant, TenantState, User
from gateway.domain.upload import CLEAN, Declared, Outcome, StagedContent, UploadInfo, Verdict
from gateway.hooks import Exporter, HealthFact, Job, PluginContext, PolicyKind, Request, hookimpl
from gateway.pluginhost import PluginError, PluginHost, load
from gateway.pluginhost.plugin import FAULT

TENANT = Tenant(1, "studio", "standard", TenantState.ACTIVE, None, None, False, 2, 0)
CALLER = Caller(TENANT, User(3, 1, "ann", "", Role.OWNER, False, 0))
INFO = UploadInfo(CALLER, ("a.txt",), Declared(3))
STAGED = StagedContent("/nowhere", 3, "00")
REQUEST = Request(CALLER, (), False)


@dataclass(frozen=True)
class Choice:
    name: str
    on_error: str = "refuse"
    timeout: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Point:
    """An entry point that needs no installed distribution."""

    name: str
    create: Callable[[PluginContext], object]
    foreign: bool = False

    @property
    def value(self) -> str:
        return f"tests:{self.name}"

    @property
    def dist(self) -> Any:
        return SimpleNamespace(name="stranger" if self.foreign else "kurado")

    def load(self) -> Callable[[PluginContext], object]:
        return self.create


@dataclass
class Alarms:
    raised: dict[str, str] = field(default_factory=dict)

    def __call__(self, kind: str, subject: str, message: str | None) -> None:
        assert kind == FAULT
        if message is None:
            self.raised.pop(subject, None)
        else:
            self.raised[subject] = message


def host_of(
    *plugins: object, on_error: str = "refuse", demo: bool = False, timeout: float | None = None, alarms: Any = None
) -> PluginHost:
    """A host with plugins p0, p1, … of the core's distribution."""
    names = [f"p{number}" for number in range(len(plugins))]
    points = [Point(name, lambda context, plugin=plugin: plugin) for name, plugin in zip(names, plugins, strict=True)]
    choices = [Choice(name, on_error, timeout) for name in names]
    return loaded(choices, points, demo=demo, alarms=alarms)


def loaded(choices: Sequence[Choice], points: Sequence[Point], *, demo: bool = False, alarms: Any = None) -> PluginHost:
    def context(choice: Choice) -> PluginContext:
        return PluginContext(
            name=choice.name,
            settings=choice.settings,
            on_error=choice.on_error,
            timeout=choice.timeout,
            data_dir=Path("/nowhere"),
            demo=demo,
            clock=lambda: 0,
            blobs=None,  # type: ignore[arg-type]
            backend=lambda settings: None,  # type: ignore[arg-type, return-value]
            policy=lambda name, tenant: None,
            alarm=alarms or (lambda kind, subject, message: None),
        )

    return load(choices, context, found=points)  # type: ignore[arg-type]


def plugin_with(**hooks: Callable[..., Any]) -> object:
    """An object whose attributes are marked hooks."""
    return SimpleNamespace(**{name: hookimpl(function) for name, function in hooks.items()})


def raising(error: BaseException) -> Callable[[], Any]:
    def hook() -> Any:
        raise error

    return hook


# -- loading ----------------------------------------------------------------------------------------------------------


def test_an_unknown_plugin_stops_the_start_and_the_nearest_name_is_given() -> None:
    with pytest.raises(PluginError, match=r"'virus_scann'.*did you mean 'virus_scan'"):
        loaded([Choice("virus_scann")], [Point("virus_scan", lambda context: object())])


def test_a_plugin_listed_twice_stops_the_start() -> None:
    with pytest.raises(PluginError, match="twice"):
        loaded([Choice("a"), Choice("a")], [Point("a", lambda context: object())])


def test_bad_settings_stop_the_start_with_the_plugins_own_words() -> None:
    def create(context: PluginContext) -> object:
        raise ValueError("clamd: is missing")

    with pytest.raises(PluginError, match="'a': settings: clamd: is missing"):
        loaded([Choice("a")], [Point("a", create)])


def test_a_factory_that_fails_stops_the_start() -> None:
    def create(context: PluginContext) -> object:
        raise ImportError("no module named pillow")

    with pytest.raises(PluginError, match=r"'a': cannot be made: ImportError: no module"):
        loaded([Choice("a")], [Point("a", create)])


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (plugin_with(check_uplaod=lambda: None), "no hook 'check_uplaod'; did you mean 'check_upload'"),
        (plugin_with(on_shutdown=lambda: None), "no hook 'on_shutdown'"),
        (SimpleNamespace(check_upload=lambda upload: None), "check_upload is not marked"),
        (SimpleNamespace(on_events=lambda event: None), "on_events looks like a hook.*on_event"),
        (plugin_with(check_upload=lambda upload, size: None), "p0.*size"),
    ],
    ids=["misspelt", "unknown", "unmarked", "misspelt and unmarked", "unknown argument"],
)
def test_a_hook_that_would_never_be_called_stops_the_start(plugin: object, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        host_of(plugin)


def test_attributes_that_are_no_functions_are_no_hooks() -> None:
    host_of(SimpleNamespace(on_error="refuse", in_transaction=True, check_list=[1]))


CONTENT = {"check_content": lambda: None}


@pytest.mark.parametrize(
    ("hooks", "on_error", "demo", "allowed"),
    [
        (CONTENT, "refuse", False, True),
        (CONTENT, "hold", False, True),
        (CONTENT, "allow", False, False),
        (CONTENT, "mark", False, False),
        (CONTENT, "mark", True, True),
        ({"check_upload": lambda: None}, "refuse", False, True),
        ({"check_upload": lambda: None}, "allow", False, True),
        ({"check_upload": lambda: None}, "hold", False, False),
        ({"check_upload": lambda: None}, "mark", True, False),
        ({"on_event": lambda: None}, "hold", False, True),
    ],
)
def test_on_error_must_fit_the_hooks(hooks: Mapping[str, Any], on_error: str, demo: bool, allowed: bool) -> None:
    if allowed:
        host_of(plugin_with(**hooks), on_error=on_error, demo=demo)
    else:
        with pytest.raises(PluginError, match="on_error"):
            host_of(plugin_with(**hooks), on_error=on_error, demo=demo)


# -- checks -----------------------------------------------------------------------------------------------------------


def test_plugins_are_called_in_the_order_of_the_configuration_until_one_refuses() -> None:
    called: list[str] = []

    def second(request: Request) -> None:
        called.append("second")
        raise Forbidden("no")

    host = host_of(
        plugin_with(check_request=lambda: called.append("first")),
        plugin_with(check_request=second),
        plugin_with(check_request=lambda: called.append("third")),
    )
    with pytest.raises(Forbidden) as caught:
        host.check("check_request", request=REQUEST)
    assert called == ["first", "second"]
    assert caught.value.policy == "p1"


def test_a_refusal_keeps_the_policy_that_it_names() -> None:
    host = host_of(plugin_with(check_upload=raising(Infected("x", policy="rule-7"))))
    with pytest.raises(Infected) as caught:
        host.check("check_upload", upload=INFO)
    assert caught.value.policy == "rule-7"


@pytest.mark.parametrize("refusal", [Forbidden("no"), Maintenance("later"), KuradoError("no")])
def test_domain_errors_pass_even_with_on_error_allow(refusal: KuradoError) -> None:
    host = host_of(plugin_with(check_request=raising(refusal)), on_error="allow")
    with pytest.raises(type(refusal)):
        host.check("check_request", request=REQUEST)


FAULTS = [
    RuntimeError("secret path"),
    BackendUnavailable("db"),
    Unavailable("x"),
    InspectorUnavailable("x"),
    SystemExit(3),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_refuses_unless_on_error_is_allow(fault: BaseException) -> None:
    refusing = host_of(plugin_with(check_request=raising(fault)))
    with pytest.raises(InspectorUnavailable) as caught:
        refusing.check("check_request", request=REQUEST)
    assert caught.value.policy == "p0"
    assert "secret" not in caught.value.message
    host_of(plugin_with(check_request=raising(fault)), on_error="allow").check("check_request", request=REQUEST)


def test_a_fault_is_alarmed_and_the_alarm_ends_with_the_next_success() -> None:
    alarms, failing = Alarms(), [True]

    def hook() -> None:
        if failing[0]:
            raise RuntimeError("broken")

    host = host_of(plugin_with(check_request=hook), on_error="allow", alarms=alarms)
    host.check("check_request", request=REQUEST)
    assert "RuntimeError: broken" in alarms.raised["p0.check_request"]
    failing[0] = False
    host.check("check_request", request=REQUEST)
    assert alarms.raised == {}


def test_a_hook_that_nobody_implements_is_not_called() -> None:
    host = host_of(plugin_with(check_request=lambda: None))
    assert host.implements("check_request")
    assert not host.implements("check_download")
    host.check("check_download", caller=CALLER, node=None)


# -- limits and facts -------------------------------------------------------------------------------------------------


def test_the_smallest_limit_of_all_plugins_counts() -> None:
    host = host_of(
        plugin_with(quota_limit=lambda: Limits(100, None)),
        plugin_with(quota_limit=lambda: Limits(200, 5)),
        plugin_with(quota_limit=lambda: None),
    )
    assert host.limits(TENANT) == Limits(100, 5)


def test_a_limit_that_cannot_be_asked_refuses_growth() -> None:
    with pytest.raises(InspectorUnavailable):
        host_of(plugin_with(quota_limit=raising(RuntimeError()))).limits(TENANT)


def test_a_description_that_fails_adds_nothing_and_refuses_nothing() -> None:
    alarms = Alarms()
    host = host_of(
        plugin_with(describe_content=lambda: {"image.width": 3}),
        plugin_with(describe_content=raising(Forbidden("may not"))),
        plugin_with(describe_content=lambda: 17),
        alarms=alarms,
    )
    assert host.describe(INFO, STAGED) == {"image.width": "3"}
    assert set(alarms.raised) == {"p1.describe_content", "p2.describe_content"}


# -- content ----------------------------------------------------------------------------------------------------------

REFUSED = Verdict(Outcome.REFUSE, "rule")


def test_verdicts_come_in_order_and_end_with_the_first_refusal() -> None:
    host = host_of(
        plugin_with(check_content=lambda: None),
        plugin_with(check_content=lambda: REFUSED),
        plugin_with(check_content=lambda: CLEAN),
    )
    assert host.content_verdicts(INFO, STAGED) == [CLEAN, REFUSED]


@pytest.mark.parametrize(
    ("on_error", "demo", "outcome"),
    [("refuse", False, Outcome.REFUSE), ("hold", False, Outcome.HOLD), ("mark", True, Outcome.MARK)],
)
@pytest.mark.parametrize("hook", [raising(RuntimeError()), lambda: "clean"], ids=["raises", "no verdict"])
def test_an_inspection_that_fails_is_never_clean(
    hook: Callable[[], Any], on_error: str, demo: bool, outcome: Outcome
) -> None:
    host = host_of(plugin_with(check_content=hook), on_error=on_error, demo=demo)
    (verdict,) = host.content_verdicts(INFO, STAGED)
    assert (verdict.outcome, verdict.policy, verdict.error) == (outcome, "p0", "inspector-unavailable")


class Inspector:
    """Fails where told to."""

    def __init__(self, fail: str = "", error: BaseException | None = None, answer: Any = CLEAN) -> None:
        self.fail, self.error, self.answer = fail, error or RuntimeError("broken"), answer
        self.calls: list[str] = []

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if name == self.fail:
            raise self.error

    def feed(self, block: bytes) -> None:
        self._step("feed")

    def finish(self) -> Any:
        self._step("finish")
        return self.answer

    def abort(self) -> None:
        self._step("abort")


def opened(inspector: Inspector, on_error: str = "refuse", demo: bool = False) -> Any:
    host = host_of(plugin_with(open_inspector=lambda: inspector), on_error=on_error, demo=demo)
    (guarded,) = host.open_inspectors(INFO)
    return guarded


def test_an_inspector_sees_every_block_and_its_verdict_counts() -> None:
    inspector = Inspector(answer=REFUSED)
    guarded = opened(inspector)
    guarded.feed(b"a")
    guarded.feed(b"b")
    assert guarded.finish() == REFUSED
    guarded.abort()
    assert inspector.calls == ["feed", "feed", "finish"]


def test_a_fault_while_feeding_stops_the_upload_at_once_when_it_refuses() -> None:
    inspector = Inspector("feed")
    guarded = opened(inspector)
    with pytest.raises(InspectorUnavailable):
        guarded.feed(b"a")
    assert inspector.calls == ["feed", "abort"]


def test_a_fault_while_feeding_holds_at_the_end_and_the_inspector_is_not_used_again() -> None:
    inspector = Inspector("feed")
    guarded = opened(inspector, on_error="hold")
    guarded.feed(b"a")
    guarded.feed(b"b")
    assert guarded.finish().outcome is Outcome.HOLD
    assert inspector.calls == ["feed", "abort"]


@pytest.mark.parametrize("answer", [None, "ok", 17])
def test_no_answer_at_the_end_is_clean_only_when_it_is_none(answer: Any) -> None:
    verdict = opened(Inspector(answer=answer), on_error="hold").finish()
    assert verdict.outcome is (Outcome.CLEAN if answer is None else Outcome.HOLD)


def test_a_refusal_of_an_inspector_passes() -> None:
    with pytest.raises(Infected):
        opened(Inspector("feed", Infected("Eicar")), on_error="hold").feed(b"x")


def test_an_abort_that_fails_is_swallowed() -> None:
    opened(Inspector("abort")).abort()


def test_when_one_inspector_cannot_be_opened_those_before_it_are_aborted() -> None:
    inspector = Inspector()
    host = host_of(
        plugin_with(open_inspector=lambda: inspector), plugin_with(open_inspector=raising(RuntimeError("down")))
    )
    with pytest.raises(InspectorUnavailable):
        host.open_inspectors(INFO)
    assert inspector.calls == ["abort"]


def test_an_inspector_that_cannot_be_opened_holds_when_told_to() -> None:
    host = host_of(plugin_with(open_inspector=raising(RuntimeError("down"))), on_error="hold")
    (guarded,) = host.open_inspectors(INFO)
    guarded.feed(b"x")
    assert guarded.finish().outcome is Outcome.HOLD


# -- deadlines --------------------------------------------------------------------------------------------------------


def test_a_hook_that_hangs_is_given_up_and_cleans_up_behind_itself() -> None:
    going_on, aborted = threading.Event(), threading.Event()

    class Hanging(Inspector):
        def feed(self, block: bytes) -> None:
            going_on.wait(60)

        def abort(self) -> None:
            aborted.set()

    inspector = Hanging()
    host = host_of(plugin_with(open_inspector=lambda: inspector), on_error="hold", timeout=0.05)
    (guarded,) = host.open_inspectors(INFO)
    guarded.feed(b"x")
    assert not aborted.is_set()  # not while the call is still in there
    assert guarded.finish().outcome is Outcome.HOLD
    going_on.set()
    assert aborted.wait(60)


def test_an_inspector_that_comes_too_late_is_aborted() -> None:
    going_on, aborted = threading.Event(), threading.Event()

    class Late(Inspector):
        def abort(self) -> None:
            aborted.set()

    def open_late() -> Late:
        going_on.wait(60)
        return Late()

    host = host_of(plugin_with(open_inspector=open_late), timeout=0.05)
    with pytest.raises(InspectorUnavailable):
        host.open_inspectors(INFO)
    assert not aborted.is_set()
    going_on.set()
    assert aborted.wait(60)


def test_only_so_many_calls_may_hang() -> None:
    from gateway.pluginhost.workers import DeadlineMissed, Workers

    going_on = threading.Event()
    workers = Workers("x", limit=2)
    for _ in range(2):
        with pytest.raises(DeadlineMissed, match="no answer within"):
            workers.call(lambda: going_on.wait(60), 0.01)
    with pytest.raises(DeadlineMissed, match="2 calls hang"):
        workers.call(lambda: True, 60)
    going_on.set()


def test_results_and_errors_come_back_through_a_deadline() -> None:
    host = host_of(plugin_with(quota_limit=lambda: Limits(7)), timeout=60)
    assert host.limits(TENANT) == Limits(7)
    with pytest.raises(Forbidden):
        host_of(plugin_with(check_request=raising(Forbidden())), timeout=60).check("check_request", request=REQUEST)


def test_a_plugin_of_another_distribution_has_a_deadline_by_default_and_its_own_words_count() -> None:
    seen: dict[str, float | None] = {}

    def create(context: PluginContext) -> object:
        seen[context.name] = context.timeout
        return object()

    points = [Point("own", create), Point("stranger", create, foreign=True), Point("told", create, foreign=True)]
    loaded([Choice("own"), Choice("stranger"), Choice("told", timeout=0.0)], points)
    assert seen == {"own": None, "stranger": 20.0, "told": 0.0}


def test_a_plugin_that_keeps_its_own_deadlines_is_called_in_the_callers_thread() -> None:
    threads = []
    plugin = plugin_with(check_request=lambda: threads.append(threading.current_thread()))
    plugin.keeps_deadlines = True  # type: ignore[attr-defined]
    host_of(plugin, timeout=60).check("check_request", request=REQUEST)
    assert threads == [threading.current_thread()]


# -- after the commit and at start ------------------------------------------------------------------------------------


def test_each_plugin_with_on_event_is_a_subscriber_that_raises_what_the_plugin_raises() -> None:
    events: list[tuple[Any, Any]] = []
    booking = plugin_with(on_event=lambda event, ledger: events.append((event, ledger)))
    booking.in_transaction = True  # type: ignore[attr-defined]
    first, second = host_of(booking, plugin_with(on_event=raising(RuntimeError("x")))).subscribers()
    event = Event(1, "studio", 1, 0, "node.created", "ann", 0, 0, {})
    ledger: Any = object()
    first.deliver(event, ledger)
    assert events == [(event, ledger)]
    assert [(one.name, one.in_transaction) for one in (first, second)] == [("p0", True), ("p1", False)]
    with pytest.raises(RuntimeError):
        second.deliver(event, None)


def test_what_plugins_register_is_collected_by_name() -> None:
    kind = PolicyKind("content", dict)
    host = host_of(
        plugin_with(
            register_policies=lambda: [kind],
            register_exporters=lambda: iter([Exporter("csv", bytes)]),
            register_jobs=lambda: [Job("scan", 1, lambda: None)],
            register_inspection_facts=lambda: {"image": lambda upload, stream: {}},
            register_health=lambda: [lambda: HealthFact("x", "ok", "fine")],
        ),
        plugin_with(register_policies=lambda: None, register_health=lambda: [raising(OSError("away"))]),
    )
    assert host.policy_kinds() == {"content": kind}
    assert set(host.exporters()) == {"csv"}
    assert [job.name for job in host.jobs()] == ["scan"]
    assert set(host.facts()) == {"image"}
    assert [(fact.name, fact.level) for fact in (check() for check in host.health_checks())] == [
        ("x", "ok"),
        ("p1", "error"),
    ]
    assert [check.plugin for check in host.health_checks()] == ["p0", "p1"]


def test_two_plugins_that_register_the_same_name_stop_the_start() -> None:
    one, two = (plugin_with(register_jobs=lambda: [Job("scan", 1, lambda: None)]) for _ in range(2))
    with pytest.raises(PluginError, match=r"'p1'.*'scan' is taken by plugin 'p0'"):
        host_of(one, two).jobs()


def test_plugins_are_closed_last_one_first() -> None:
    closed: list[int] = []
    host = host_of(*(SimpleNamespace(close=lambda n=n: closed.append(n)) for n in range(3)))
    host.close()
    assert closed == [2, 1, 0]
