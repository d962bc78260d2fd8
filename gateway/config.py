"""gateway.yaml (version 1) as frozen dataclasses, with environment variables over it.

The variable of a key is named after its path: ``listen.dav`` is ``KURADO_LISTEN_DAV``, the setting ``clamd`` of the
plugin ``virus_scan`` is ``KURADO_PLUGINS_VIRUS_SCAN_CLAMD``. Relative paths are relative to the file.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gateway.configapprovers import approvers_config
from gateway.configenv import PREFIX, overlay
from gateway.configmail import BoardConfig, MailConfig, board_config, mail_config
from gateway.domain.fields import FieldError, Fields, boolean, integer, one_of, text, texts
from gateway.domain.units import parse_duration, parse_size
from gateway.yamlfile import YamlError, load_yaml

VERSION = 1
DEFAULT_FILE = "gateway.yaml"
MAIN_STORAGE = "storage"
"""How the storage is called among ``storages`` that is described below ``storage`` itself."""

ON_ERROR = ("refuse", "hold", "mark", "allow")
_TOP = ("version", "data_dir", "database", "durability", "demo", "gates", "policies", "contracts")
_LISTEN = ("dav", "desk", "s3")
_S3 = ("region", "domain")
_TLS = ("cert", "key")
_MASTER_KEY = ("file", "env", "command")
_LOG = ("requests", "level")
_INCIDENTS = ("recognise", "after")
_HTTP = (
    "hostnames",
    "allow_plain_login",
    "trusted_proxies",
    "max_upload",
    "head_timeout",
    "min_body_rate",
    "keep_alive",
    "max_connections_per_address",
)
LEAVES: tuple[tuple[str, ...], ...] = (
    *((key,) for key in _TOP),
    *(("listen", key) for key in _LISTEN),
    *(("listen", "tls", key) for key in _TLS),
    *(("http", key) for key in _HTTP),
    *(("log", key) for key in _LOG),
    *(("incidents", key) for key in _INCIDENTS),
    *(("s3", key) for key in _S3),
    *((name, key) for name in ("master_key", "previous_master_key") for key in _MASTER_KEY),
)
"""The keys that an environment variable can set; ``storage`` and ``plugins`` are open and handled apart."""

T = TypeVar("T")


class ConfigError(Exception):
    """A configuration that the daemon does not start with: where, what is wrong, and what to write instead."""

    def __init__(self, file: str, path: str, reason: str, fix: str = "") -> None:
        super().__init__(": ".join(filter(None, [file, path, reason])) + (f". Fix: {fix}" if fix else ""))
        self.file = file
        self.path = path
        self.reason = reason
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can connect."""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the certificate with its chain, and the key."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Listen:
    dav: Address
    desk: Address
    tls: Tls | None = None
    s3: Address | None = None
    """None: S3 is not served."""


@dataclass(frozen=True, slots=True)
class S3Config:
    """``region`` is what clients must sign for; ``domain`` makes ``BUCKET.domain`` name a bucket, "" is path style
    only."""

    region: str = "us-east-1"
    domain: str = ""


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """``name`` as in the entry points of ``kurado.storage_backends``; ``settings`` are the backend's own keys;
    ``label`` is its name among ``storages``."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = MAIN_STORAGE


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """``timeout`` in seconds for each call of a hook; 0 is none, None leaves it to the plugin host."""

    name: str
    on_error: str = "refuse"
    timeout: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """``hostnames`` are our names in Destination headers besides the listeners' own; ``trusted_proxies`` networks whose
    X-Forwarded-* headers count. Times in seconds, ``min_body_rate`` in bytes a second, ``max_upload`` in bytes."""

    hostnames: tuple[str, ...] = ()
    allow_plain_login: bool = False
    trusted_proxies: tuple[str, ...] = ()
    max_upload: int | None = None
    head_timeout: float = 20.0
    min_body_rate: int = 1024
    keep_alive: float = 20.0
    max_connections_per_address: int | None = None


@dataclass(frozen=True, slots=True)
class LogConfig:
    """``requests``: one JSON line a request."""

    requests: bool = False
    level: str = "info"


@dataclass(frozen=True, slots=True)
class IncidentConfig:
    """``recognise``: whether an operator confirms what the checks find, or they count as ``automatic`` recognition
    (SLA-AV-02). ``after``: how long a fault must last to be drafted, in seconds."""

    recognise: str = "operator"
    after: float = 60.0


@dataclass(frozen=True, slots=True)
class Config:
    """``file`` is None only when everything came from the environment. ``database`` is an SQLAlchemy URL."""

    file: Path | None
    data_dir: Path
    database: str
    storage: BackendConfig
    listen: Listen
    gates: int
    plugins: tuple[PluginConfig, ...]
    policies: Path
    http: HttpConfig = HttpConfig()
    log: LogConfig = LogConfig()
    demo: bool = False
    durability: str = "full"
    mail: MailConfig = field(default_factory=MailConfig)
    board: BoardConfig = field(default_factory=BoardConfig)
    incidents: IncidentConfig = IncidentConfig()
    contracts: str = "optional"
    """``required``: only tenants under contract and demo tenants are served (SVC-01)."""
    approvers: Mapping[str, str] = field(default_factory=dict)
    """Name → hash of the passphrase of those who may be the second person; empty: any other login."""
    s3: S3Config = S3Config()
    storages: Mapping[str, BackendConfig] = field(default_factory=dict)
    """Storages by name, among which blobs can be moved; with the one that ``storage`` describes."""
    master_key: Mapping[str, Any] | None = None
    """Where the master key is found, as :func:`gateway.masterkey.load_master_key` takes it."""
    previous_master_key: Mapping[str, Any] | None = None
    """The one before it, until everything was wrapped anew."""


def load(file: Path | None, environ: Mapping[str, str]) -> Config:
    """Reads ``file``, or ``$KURADO_CONFIG``, or ``./gateway.yaml``.

    ConfigError names file (or variable), key path, reason and fix.
    """
    file = file or Path(environ.get(PREFIX + "CONFIG") or DEFAULT_FILE)
    shown = str(file)
    document = _read(file)
    overridden: dict[str, str] = {}
    try:
        overridden = overlay(document, environ, LEAVES)
        config = _config(Fields(document), file.absolute())
        _check_plain_login(config)
    except FieldError as error:
        variable = next((name for name, path in overridden.items() if path == error.path), None)
        raise ConfigError(f"${variable}" if variable else shown, error.path, error.reason, error.fix) from error
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        document = load_yaml(file.read_text("utf-8"))
    except FileNotFoundError:
        fix = "`kurado init DIR` writes one, `kurado --config FILE` or $KURADO_CONFIG names one"
        raise ConfigError(str(file), "", "there is no such file", fix) from None
    except OSError as error:
        raise ConfigError(str(file), "", f"cannot be read: {error.strerror}", "check the permissions") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(file), "", f"is not UTF-8 at byte {error.start}", "save it as UTF-8") from error
    except YamlError as error:
        raise ConfigError(str(file), "", f"is not valid YAML: {error}", "correct the line") from error
    if not isinstance(document, dict):
        raise ConfigError(str(file), "", "holds no settings", "`kurado init DIR` writes a complete sample")
    return document


def _config(top: Fields, file: Path) -> Config:
    folder = file.parent
    top.take("version", _version, fix=f"write `version: {VERSION}`")
    data_dir = top.take("data_dir", lambda value: folder / Path(text(value)).expanduser(), folder / "data")
    storage, storages = _storages(top)
    config = Config(
        file=file,
        data_dir=data_dir,
        database=top.take("database", lambda value: _database(value, folder), f"sqlite:///{data_dir / 'kurado.db'}"),
        storage=storage,
        storages=storages,
        listen=_listen(top.section("listen"), folder),
        gates=top.take("gates", integer(1, 256), os.cpu_count() or 1),
        plugins=top.items("plugins", _plugin),
        policies=top.take(
            "policies", lambda value: _policies(value, folder), folder / "policies", "make it, or name none"
        ),
        http=_http(top.section("http")),
        log=_log(top.section("log")),
        incidents=_incidents(top.section("incidents")),
        demo=top.take("demo", boolean, False),
        durability=top.take("durability", one_of("full", "relaxed"), "full"),
        contracts=top.take("contracts", one_of("optional", "required"), "optional"),
        approvers=top.take("approvers", approvers_config, {}),
        mail=mail_config(top.section("mail"), folder),
        board=board_config(top.section("board"), folder, data_dir),
        s3=_s3(top.section("s3")),
        master_key=_master_key(top, "master_key", folder),
        previous_master_key=_master_key(top, "previous_master_key", folder),
    )
    top.done()
    _check_plugins(config.plugins)
    return config


def _version(value: object) -> int:
    number = integer(1, 2**31)(value)
    if number != VERSION:
        raise ValueError(f"version {number} is not known to this kurado, which reads version {VERSION}: is it too old?")
    return number


def _policies(value: object, folder: Path) -> Path:
    """A folder that is named must be there: the packaged prices and terms would be taken instead, without a word."""
    policies = folder / Path(text(value)).expanduser()
    if not policies.is_dir():
        raise ValueError(f"there is no folder {policies}")
    return policies


def _database(value: object, folder: Path) -> str:
    url = text(value)
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return f"sqlite:///{folder / url.removeprefix('sqlite:///')}"
    if not url.startswith(("postgresql://", "postgresql+psycopg://")):
        raise ValueError("is no sqlite:///FILE and no postgresql://user@host/name URL")
    return url


def _storages(top: Fields) -> tuple[BackendConfig, Mapping[str, BackendConfig]]:
    """``storage`` describes a backend, or names one of ``storages``."""
    section = top.section("storages")
    named = {name: _backend(Fields(value, section.at(name)), name) for name, value in section.rest().items()}
    if MAIN_STORAGE in named:
        raise FieldError(section.at(MAIN_STORAGE), "is what `storage` itself is called", "give it another name")
    value: object = top.take("storage", lambda value: value, {})
    if isinstance(value, str):
        if value not in named:
            known = f"name one of {', '.join(named)}" if named else "describe it: {backend: …}"
            raise FieldError("storage", f"there is no storage {value!r}", known)
        return named[value], named
    main = _backend(Fields(value, "storage"), MAIN_STORAGE)
    return main, {MAIN_STORAGE: main, **named} if named else {}


def _backend(fields: Fields, label: str) -> BackendConfig:
    return BackendConfig(fields.take("backend", text, "local"), fields.rest(), label)


def _listen(fields: Fields, folder: Path) -> Listen:
    dav = fields.take("dav", parse_address, Address("127.0.0.1", 8080))
    desk = fields.take("desk", parse_address, Address("127.0.0.1", 8081))
    s3: Address | None = fields.take("s3", parse_address, None)
    tls = _tls(fields.section("tls"), folder) if fields.has("tls") else None
    fields.take("tls", lambda value: value, None)
    fields.done()
    if dav == desk and dav.port:
        raise FieldError(fields.at("desk"), f"{desk} is already listen.dav", "give it a port of its own")
    if s3 is not None and s3.port and s3 in (dav, desk):
        raise FieldError(fields.at("s3"), f"{s3} is taken by another listener", "give it a port of its own")
    return Listen(dav, desk, tls, s3)


def _s3(fields: Fields) -> S3Config:
    default = S3Config()
    s3 = S3Config(
        region=fields.take("region", text, default.region),
        domain=fields.take("domain", text, default.domain).lower().strip("."),
    )
    fields.done()
    return s3


def parse_address(value: object) -> Address:
    """``host:port``, ``[ipv6]:port``, ``:port`` (all addresses) or a port (on loopback). ValueError otherwise."""
    host, colon, port = str(value).rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not port.isdecimal() or int(port) > 65535 or (":" in host and not str(value).startswith("[")):
        raise ValueError(f"{value!r} is no address such as 127.0.0.1:8080 or [::1]:8080")
    return Address((host or "0.0.0.0") if colon else "127.0.0.1", int(port))


def _tls(fields: Fields, folder: Path) -> Tls:
    def existing(value: object) -> Path:
        path = folder / Path(text(value)).expanduser()
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        return path

    tls = Tls(fields.take("cert", existing), fields.take("key", existing))
    fields.done()
    return tls


def _plugin(item: object, path: str) -> PluginConfig:
    if isinstance(item, str):
        return PluginConfig(item)
    fields = Fields(item, path)
    name = fields.take("name", text)
    on_error = fields.take("on_error", one_of(*ON_ERROR), "refuse")
    timeout: float | None = fields.take("timeout", parse_duration, None)
    return PluginConfig(name, on_error, timeout, fields.rest())


def _check_plugins(plugins: tuple[PluginConfig, ...]) -> None:
    names = [plugin.name for plugin in plugins]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise FieldError(f"plugins[{number}].name", f"{name!r} is listed twice", "remove one of them")


def _http(fields: Fields) -> HttpConfig:
    default = HttpConfig()
    http = HttpConfig(
        hostnames=tuple(name.lower() for name in fields.take("hostnames", texts, default.hostnames)),
        allow_plain_login=fields.take("allow_plain_login", boolean, default.allow_plain_login),
        trusted_proxies=fields.take("trusted_proxies", _networks, default.trusted_proxies),
        max_upload=fields.take("max_upload", parse_size, default.max_upload),
        head_timeout=fields.take("head_timeout", _positive_duration, default.head_timeout),
        min_body_rate=fields.take("min_body_rate", parse_size, default.min_body_rate),
        keep_alive=fields.take("keep_alive", _positive_duration, default.keep_alive),
        max_connections_per_address=fields.take(
            "max_connections_per_address", integer(1, 1_000_000), default.max_connections_per_address
        ),
    )
    fields.done()
    return http


def _incidents(fields: Fields) -> IncidentConfig:
    default = IncidentConfig()
    incidents = IncidentConfig(
        recognise=fields.take("recognise", one_of("operator", "automatic"), default.recognise),
        after=fields.take("after", parse_duration, default.after),
    )
    fields.done()
    return incidents


def _networks(value: object) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(item, strict=False)) for item in texts(value))


def _positive_duration(value: object) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("must be more than 0 seconds")
    return seconds


def _master_key(top: Fields, name: str, folder: Path) -> Mapping[str, Any] | None:
    """One source; a relative file is relative to gateway.yaml, as all others."""
    if not top.has(name):
        return None
    fields = top.section(name)
    found = {key: fields.take(key, lambda value: value) for key in _MASTER_KEY if fields.has(key)}
    fields.done()
    if len(found) != 1:
        raise FieldError(name, "names no single source", "write one of file, env and command below it")
    if "file" in found:
        found["file"] = str(folder / Path(text(found["file"])).expanduser())
    return found


def _log(fields: Fields) -> LogConfig:
    log = LogConfig(
        requests=fields.take("requests", boolean, False),
        level=fields.take("level", one_of("debug", "info", "warning", "error"), "info"),
    )
    fields.done()
    return log


def check_certificate(config: Config) -> None:
    """Raises ConfigError for files that are no certificate and its key. Only `serve` and `doctor` need them."""
    import ssl

    if config.listen.tls is None:
        return
    cert, key = config.listen.tls.cert, config.listen.tls.key
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:
        reason = f"{cert} and {key} cannot be used: {error.strerror or error}"
        fix = "name a PEM certificate with its chain, and the unencrypted PEM key that belongs to it"
        raise ConfigError(str(config.file), "listen.tls", reason, fix) from error


def _check_plain_login(config: Config) -> None:
    """Basic sends the password in the clear: over TLS, on loopback, behind a TLS proxy, or explicitly allowed."""
    address = config.listen.dav
    if config.listen.tls or address.is_loopback or config.http.trusted_proxies or config.http.allow_plain_login:
        return
    raise FieldError(
        "listen.dav",
        f"{address} can be reached from other machines and logins would travel in the clear",
        "set listen.tls, or name your TLS proxy in http.trusted_proxies, or listen on 127.0.0.1,"
        " or accept the risk with http.allow_plain_login: true",
    )
