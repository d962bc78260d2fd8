"""gateway.yaml and the environment over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import LEAVES, Address, ConfigError, load, parse_address
from gateway.domain.fields import FieldError
from gateway.domain.units import GB

ROOT = Path(__file__).parents[2]
MINIMAL: dict[str, Any] = {"version": 1, "plugins": []}


def written(folder: Path, document: Any) -> Path:
    file = folder / "gateway.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return file


def test_the_sample_loads_and_selects_the_guards() -> None:
    config = load(ROOT / "gateway.yaml", {})
    names = [plugin.name for plugin in config.plugins]
    assert names == ["contract_state", "quota", "content_policy", "virus_scan", "metering", "billing_export"]
    assert config.listen.dav == Address("127.0.0.1", 8080)
    assert (config.durability, config.demo) == ("full", False)


def test_init_writes_the_very_sample_of_the_repository() -> None:
    assert (ROOT / "gateway" / "sample.yaml").read_text() == (ROOT / "gateway.yaml").read_text()


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load(written(tmp_path, {**MINIMAL, "data_dir": "d", "database": "sqlite:///x/k.db"}), {})
    assert config.data_dir == tmp_path / "d"
    assert config.database == f"sqlite:///{tmp_path / 'x' / 'k.db'}"
    assert config.policies == tmp_path / "policies"


def test_the_database_is_below_data_dir_unless_said_otherwise(tmp_path: Path) -> None:
    assert load(written(tmp_path, MINIMAL), {}).database == f"sqlite:///{tmp_path / 'data' / 'kurado.db'}"


def test_the_file_is_named_by_the_environment(tmp_path: Path) -> None:
    assert load(None, {"KURADO_CONFIG": str(written(tmp_path, MINIMAL))}).file == tmp_path / "gateway.yaml"


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ({"plugins": []}, "version", "missing"),
        ({**MINIMAL, "version": 2}, "version", "version 2 is not known to this kurado"),
        ({**MINIMAL, "policies": "nowhere"}, "policies", "there is no folder"),
        ({"version": 1}, "plugins", "missing"),
        ({**MINIMAL, "gate": 3}, "gate", "did you mean 'gates'"),
        ({**MINIMAL, "gates": 0}, "gates", "not between"),
        ({**MINIMAL, "gates": True}, "gates", "no whole number"),
        ({**MINIMAL, "listen": {"dav": "nowhere"}}, "listen.dav", "no address"),
        ({**MINIMAL, "listen": {"dav": "127.0.0.1:1", "desk": "127.0.0.1:1"}}, "listen.desk", "already"),
        ({**MINIMAL, "listen": {"tls": {"cert": "no.pem", "key": "no.pem"}}}, "listen.tls.cert", "no file"),
        ({**MINIMAL, "listen": []}, "listen", "instead of a mapping"),
        ({**MINIMAL, "http": {"head_timeout": "soon"}}, "http.head_timeout", "no duration"),
        ({**MINIMAL, "http": {"head_timeout": 0}}, "http.head_timeout", "more than 0"),
        ({**MINIMAL, "http": {"max_upload": "big"}}, "http.max_upload", "no size"),
        ({**MINIMAL, "http": {"trusted_proxies": ["x"]}}, "http.trusted_proxies", "x"),
        ({**MINIMAL, "log": {"level": "inf"}}, "log.level", "info?"),
        ({**MINIMAL, "mail": {"server": "smtp.example"}}, "mail.from", "missing"),
        ({**MINIMAL, "mail": {"server": "a b:25"}}, "mail.server", "no mail server"),
        ({**MINIMAL, "mail": {"from": "a@b\r\nBcc: c@d"}}, "mail.from", "no mail address"),
        ({**MINIMAL, "mail": {"login": "me"}}, "mail.password", "missing"),
        (
            {
                **MINIMAL,
                "mail": {
                    "server": "smtp.example",
                    "from": "a@b.example",
                    "security": "none",
                    "login": "me",
                    "password": "x",
                },
            },
            "mail.security",
            "in the clear",
        ),
        ({**MINIMAL, "mail": {"templates": "nowhere"}}, "mail.templates", "there is no"),
        ({**MINIMAL, "mail": {"langauge": "ja"}}, "mail.langauge", "language"),
        ({**MINIMAL, "board": {"url": "ftp://a"}}, "board.url", "no web address"),
        ({**MINIMAL, "durability": "none"}, "durability", "full, relaxed"),
        ({**MINIMAL, "database": "mysql://x"}, "database", "sqlite:///"),
        ({**MINIMAL, "plugins": ["quota", {"name": "quota"}]}, "plugins[1].name", "twice"),
        ({**MINIMAL, "plugins": [{"on_error": "refuse"}]}, "plugins[0].name", "missing"),
        ({**MINIMAL, "plugins": [{"name": "q", "on_error": "ignore"}]}, "plugins[0].on_error", "not one of"),
        ({**MINIMAL, "plugins": {"quota": {}}}, "plugins", "instead of a list"),
        ("", "", "no settings"),
        ("a: [", "", "not valid YAML"),
        ("version: 1\nversion: 1\n", "", "given twice"),
    ],
)
def test_a_bad_file_is_an_error_with_file_key_path_and_reason(
    tmp_path: Path, document: Any, path: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, document), {})
    assert caught.value.file == str(tmp_path / "gateway.yaml")
    assert caught.value.path == path
    assert words in str(caught.value)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kurado init"):
        load(tmp_path / "none.yaml", {})


def test_logins_in_the_clear_beyond_loopback_stop_the_start(tmp_path: Path) -> None:
    open_to_all = {**MINIMAL, "listen": {"dav": "0.0.0.0:8080"}}
    with pytest.raises(ConfigError, match=r"listen\.dav.*in the clear.*allow_plain_login"):
        load(written(tmp_path, open_to_all), {})
    for allowed in ({"allow_plain_login": True}, {"trusted_proxies": ["10.0.0.1"]}):
        assert load(written(tmp_path, {**open_to_all, "http": allowed}), {}).listen.dav.host == "0.0.0.0"


def test_tls_files_are_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    (tmp_path / "key.pem").touch()
    tls = {"cert": "cert.pem", "key": "key.pem"}
    config = load(written(tmp_path, {**MINIMAL, "listen": {"dav": "0.0.0.0:443", "tls": tls}}), {})
    assert config.listen.tls is not None
    assert config.listen.tls.key == tmp_path / "key.pem"


# -- environment ------------------------------------------------------------------------------------------------------

EXAMPLES = {
    "version": ("1", None),
    "data_dir": ("/d", Path("/d")),
    "database": ("postgresql://u@h/n", "postgresql://u@h/n"),
    "contracts": ("required", "required"),
    "durability": ("relaxed", "relaxed"),
    "demo": ("true", True),
    "gates": ("3", 3),
    "policies": ("/usr", Path("/usr")),
    "listen.dav": ("127.0.0.1:1", Address("127.0.0.1", 1)),
    "listen.desk": ("[::1]:2", Address("::1", 2)),
    "listen.s3": ("127.0.0.1:3", Address("127.0.0.1", 3)),
    "s3.region": ("eu-west-1", "eu-west-1"),
    "s3.domain": ("S3.Example.com", "s3.example.com"),
    "master_key.file": ("/k", None),
    "master_key.env": ("K", None),
    "master_key.command": ("vault read key", None),
    "previous_master_key.file": ("/k", None),
    "previous_master_key.env": ("K", None),
    "previous_master_key.command": ("vault read key", None),
    "http.hostnames": ("A.example,b.example", ("a.example", "b.example")),
    "http.allow_plain_login": ("yes", True),
    "http.trusted_proxies": ("10.0.0.0/8,::1", ("10.0.0.0/8", "::1/128")),
    "http.max_upload": ("5GB", 5 * GB),
    "http.head_timeout": ("1m", 60.0),
    "http.min_body_rate": ("2KB", 2048),
    "http.keep_alive": ("5", 5.0),
    "http.max_connections_per_address": ("9", 9),
    "incidents.after": ("90s", 90.0),
    "incidents.recognise": ("automatic", "automatic"),
    "mail.server": ("[::1]:2525", None),
    "mail.security": ("tls", "tls"),
    "mail.ca": ("/usr", Path("/usr")),
    "mail.login": ("", ""),
    "mail.password": ("secret", "secret"),
    "mail.password_file": ("/dev/null", None),
    "mail.from": ("蔵戸 <a@b.example>", None),
    "mail.reply_to": ("a@b.example", "a@b.example"),
    "mail.bounces": ("a@b.example", "a@b.example"),
    "mail.operators": ("a@b.example,c@d.example", ("a@b.example", "c@d.example")),
    "mail.language": ("en", "en"),
    "mail.signature": ("we", "we"),
    "mail.templates": ("/usr", Path("/usr")),
    "mail.timeout": ("5s", 5.0),
    "board.folder": ("/srv/status", Path("/srv/status")),
    "board.url": ("https://s.example", "https://s.example/"),
    "board.title_ja": ("状況", "状況"),
    "board.title_en": ("Status", "Status"),
    "log.requests": ("true", True),
    "log.level": ("debug", "debug"),
}


@pytest.mark.parametrize("leaf", [".".join(path) for path in LEAVES if path[:2] != ("listen", "tls")])
def test_every_key_is_set_by_the_variable_named_after_its_path(tmp_path: Path, leaf: str) -> None:
    value, expected = EXAMPLES[leaf]
    config: Any = load(written(tmp_path, MINIMAL), {f"KURADO_{leaf.replace('.', '_').upper()}": value})
    if expected is not None:
        for step in leaf.split("."):
            config = getattr(config, step)
        assert config == expected


def test_settings_of_backend_and_plugins_are_set_by_variables(tmp_path: Path) -> None:
    document = {**MINIMAL, "plugins": ["virus", {"name": "virus_scan", "clamd": {"port": 1}}]}
    environ = {
        "KURADO_STORAGE_BACKEND": "memory",
        "KURADO_STORAGE_FSYNC": "false",
        "KURADO_PLUGINS_VIRUS_SCAN_ON_ERROR": "hold",
        "KURADO_PLUGINS_VIRUS_SCAN_TIMEOUT": "5s",
        "KURADO_PLUGINS_VIRUS_SCAN_CLAMD_PORT": "3310",
        "KURADO_PLUGINS_VIRUS_SCAN_SOCKET": "[::1]:3310",
    }
    config = load(written(tmp_path, document), environ)
    assert (config.storage.name, config.storage.settings) == ("memory", {"fsync": False})
    plain, scan = config.plugins
    assert plain.settings == {}
    assert (scan.on_error, scan.timeout) == ("hold", 5.0)
    assert scan.settings == {"clamd": {"port": 3310}, "socket": "[::1]:3310"}


def test_settings_of_named_storages_are_set_by_variables(tmp_path: Path) -> None:
    far = {"backend": "sealed", "of": {"backend": "s3", "bucket": "b"}}
    document = {**MINIMAL, "storages": {"far": far, "far-away": {"backend": "s3"}}}
    environ = {
        "KURADO_STORAGE": "far",
        "KURADO_STORAGES_FAR_KEY_CHECK": "5s",
        "KURADO_STORAGES_FAR_OF_SECRET_KEY": "secret",
        "KURADO_STORAGES_FAR_AWAY_BUCKET": "c",
    }
    config = load(written(tmp_path, document), environ)
    assert config.storage is config.storages["far"]
    assert config.storage.settings == {
        "key_check": "5s", "of": {"backend": "s3", "bucket": "b", "secret_key": "secret"}
    }  # fmt: skip
    assert config.storages["far-away"].settings == {"bucket": "c"}
    with pytest.raises(ConfigError, match=r"\$KURADO_STORAGES_FAX_BUCKET"):
        load(written(tmp_path, document), {"KURADO_STORAGES_FAX_BUCKET": "c"})
    with pytest.raises(ConfigError, match="there is no storage"):
        load(written(tmp_path, document), {"KURADO_STORAGE": "nowhere"})


def test_the_list_of_plugins_is_set_by_a_variable_and_keeps_settings(tmp_path: Path) -> None:
    document = {**MINIMAL, "plugins": [{"name": "a", "x": 1}, "b"]}
    config = load(written(tmp_path, document), {"KURADO_PLUGINS": "c, a"})
    assert [(plugin.name, plugin.settings) for plugin in config.plugins] == [("c", {}), ("a", {"x": 1})]


@pytest.mark.parametrize("name", ["KURADO_LISTEN_DAW", "KURADO_HTTP_MAX", "KURADO_PLUGINS_NONE_X", "KURADO_LOG_X"])
def test_a_misspelt_variable_stops_the_start_and_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"\${name}"):
        load(written(tmp_path, MINIMAL), {name: "1"})


def test_what_a_container_platform_sets_is_left_alone(tmp_path: Path) -> None:
    environ = {"KURADO_PORT": "tcp://10.0.0.1:80", "KURADO_SERVICE_HOST": "10.0.0.1", "KURADO_PORT_80_TCP": "x"}
    assert load(written(tmp_path, MINIMAL), environ) == load(written(tmp_path, MINIMAL), {})


def test_a_bad_value_from_the_environment_names_the_variable_not_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, MINIMAL), {"KURADO_GATES": "many"})
    assert caught.value.file == "$KURADO_GATES"


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert 0 <= address.port <= 65535
    assert parse_address(str(address)) == address


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(EXAMPLES)), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_whatever_stands_under_a_key_is_taken_or_a_field_error(value: Any) -> None:
    from gateway.config import _config
    from gateway.domain.fields import Fields

    for key in ("listen", "plugins", "storage", "http", "log", "data_dir", "gates"):
        try:
            _config(Fields({**MINIMAL, key: value}), Path("/etc/gateway.yaml"))
        except FieldError as error:
            assert error.path.startswith(key)
