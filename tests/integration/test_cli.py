"""The command line, run as an operator runs it, over a real database and store."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.cli import COMMANDS, cli
from gateway.daemon import wall_clock
from gateway.domain.tenant import Caller
from gateway.service.accounts import operator_caller
from gateway.testing.space import Space, open_space

CONTRACT = {
    "init": [],
    "demo": [],
    "serve": [],
    "tenant": ["add", "list", "show", "suspend", "resume", "remove"],
    "user": ["add", "passwd", "disable", "list"],
    "policy": ["list", "show", "check", "apply", "assign", "history"],
    "usage": ["show"],
    "billing": ["export"],
    "refusals": ["list"],
    "replica": ["status", "verify", "resync"],
    "lock": ["list", "break"],
    "outbox": ["list", "retry", "skip"],
    "import": [],
    "db": ["upgrade"],
    "doctor": [],
    "fsck": [],
}
"""The words that others rely on."""


@dataclass
class Shell:
    """``kurado`` in a folder that has a gateway.yaml."""

    folder: Path

    def run(self, *words: str, text: str | None = None) -> Result:
        config = str(self.folder / "gateway.yaml")
        return CliRunner().invoke(cli, ["--config", config, *words], input=text, prog_name="kurado")

    def ok(self, *words: str, text: str | None = None) -> str:
        result = self.run(*words, text=text)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str, text: str | None = None) -> Any:
        return json.loads(self.ok(*words, "--json", text=text))

    def fails(self, *words: str, text: str | None = None) -> str:
        """The single line of an error that the operator can do something about."""
        result = self.run(*words, text=text)
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("kurado: ")
        assert "Traceback" not in result.stderr
        return result.stderr


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    config = {"version": 1, "plugins": ["quota", "metering"]}
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(config))
    return Shell(tmp_path)


@pytest.fixture
def studio(shell: Shell) -> Shell:
    shell.ok("tenant", "add", "studio")
    return shell


def commands(group: click.Command, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    assert isinstance(group, click.Group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        yield name, command


# -- the frame --------------------------------------------------------------------------------------------------------


def test_all_words_of_the_contract_exist(tmp_path: Path) -> None:
    plugins = [
        "quota",
        "metering",
        "billing_export",
        {"name": "replication", "to": {"backend": "local", "path": "replica"}},
    ]
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump({"version": 1, "plugins": plugins}))
    with cli.make_context("kurado", ["--config", str(tmp_path / "gateway.yaml"), "serve"]) as ctx:
        for word, subcommands in CONTRACT.items():
            command = cli.get_command(ctx, word)
            assert command is not None, word
            if subcommands:
                assert set(subcommands) <= {name for name, _ in commands(command, ctx)}, word


def test_everything_has_a_help_text_and_what_prints_data_prints_json(shell: Shell) -> None:
    with cli.make_context("kurado", ["--config", str(shell.folder / "gateway.yaml"), "serve"]) as ctx:
        for word in COMMANDS:
            command = cli.get_command(ctx, word)
            assert command is not None
            leaves = commands(command, ctx) if isinstance(command, click.Group) else [("", command)]
            for name, leaf in leaves:
                assert len((leaf.help or "").split()) >= 3, f"{word} {name}"
                options = {option for parameter in leaf.params for option in parameter.opts}
                if name in ("list", "show", "history", "status", "check", "add") or word in (
                    "doctor",
                    "fsck",
                    "import",
                ):
                    assert "--json" in options, f"{word} {name}"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom gateway.cli import cli\n"
        "try:\n    cli.main(['--help'], prog_name='kurado')\nexcept SystemExit:\n    pass\n"
        "print(sorted({'sqlalchemy', 'aiohttp', 'wsgidav', 'PIL', 'argon2', 'pluggy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_help_lists_the_commands_of_plugins_once_they_were_used(shell: Shell) -> None:
    assert "Show what tenants used" not in shell.ok("--help")
    shell.ok("usage", "--help")
    assert "Show what tenants used" in shell.ok("--help")


def test_a_misspelt_command_is_corrected(shell: Shell) -> None:
    result = shell.run("tenat", "list")
    assert result.exit_code == 2
    assert "Did you mean 'tenant'" in result.output
    assert shell.run("nonsense").exit_code == 2


def test_a_command_of_a_plugin_that_is_not_listed_leads_to_the_plugin(shell: Shell) -> None:
    assert "the plugin 'replication', which is not listed in gateway.yaml" in shell.run("replica", "status").stderr
    told = shell.run("nonsense").stderr
    assert "replication" in told
    assert "metering" not in told


def test_without_a_configuration_the_operator_is_told_how_to_get_one(tmp_path: Path) -> None:
    assert "kurado init DIR" in Shell(tmp_path).fails("tenant", "list")
    assert "kurado init DIR" in Shell(tmp_path).fails("usage", "show", "x")


@pytest.mark.parametrize(
    ("plugins", "words"),
    [
        (["quotta"], "did you mean 'quota'"),
        ([{"name": "quota", "on_error": "hold"}], "on_error"),
        ("quota", "a list"),
        ([{"name": "replication", "to": {"backend": "locl"}}], "there is no storage backend 'locl'; there are"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(tmp_path: Path, plugins: Any, words: str) -> None:
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump({"version": 1, "plugins": plugins}))
    assert words in Shell(tmp_path).fails("tenant", "list")


def test_bad_settings_of_a_plugins_backend_are_named_by_their_place(shell: Shell) -> None:
    plugin = {"name": "replication", "to": {"backend": "local", "path": "replica", "colour": "blue"}}
    (shell.folder / "gateway.yaml").write_text(yaml.safe_dump({"version": 1, "plugins": [plugin]}))
    assert "plugins.replication.to: colour: unknown setting" in shell.fails("replica", "status")


def test_an_error_of_the_system_is_told_by_path_and_reason(shell: Shell) -> None:
    (shell.folder / "file").touch()
    assert shell.fails("init", str(shell.folder / "file" / "below")).endswith("/below: Not a directory\n")


def test_why_a_database_cannot_be_opened_is_told(studio: Shell) -> None:
    (studio.folder / "data" / "kurado.db").write_bytes(b"no database " * 1000)
    assert "cannot be opened: " in studio.fails("tenant", "list")


def test_numbers_and_dates_beyond_all_bounds_are_one_line(studio: Shell) -> None:
    for words in (
        ["usage", "show", "studio", "--period", "0001-01-01"],
        ["tenant", "set", "studio", "--files", "9" * 20],
    ):
        assert "out of range" in studio.fails(*words)


def test_files_that_are_no_certificate_stop_the_start_in_one_line(shell: Shell) -> None:
    tls = {"cert": "gateway.yaml", "key": "gateway.yaml"}
    config = {"version": 1, "plugins": ["quota"], "listen": {"tls": tls}}
    (shell.folder / "gateway.yaml").write_text(yaml.safe_dump(config))
    assert "listen.tls: " in shell.fails("serve")
    assert "listen.tls: " in shell.run("doctor").stdout
    assert logging.root.manager.disable == logging.NOTSET  # doctor is quiet only while it looks
    assert shell.ok("tenant", "list")  # other commands need no certificate


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_the_shell_gets_its_completion(shell: Shell, kind: str) -> None:
    assert "_KURADO_COMPLETE" in shell.ok("completion", kind)


def test_the_shell_completes_commands_and_tenants(studio: Shell) -> None:
    def complete(*words: str) -> list[str]:
        environ = {
            **os.environ,
            "_KURADO_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
            "KURADO_CONFIG": str(studio.folder / "gateway.yaml"),
        }
        command = [sys.executable, "-P", "-c", "from gateway.cli import main; main()"]
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("kurado", "ten") == ["tenant"]
    assert complete("kurado", "tenant", "s") == ["set", "show", "suspend"]
    assert complete("kurado", "tenant", "show", "st") == ["studio"]


# -- init -------------------------------------------------------------------------------------------------------------


def test_init_writes_a_configuration_that_works_and_overwrites_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert CliRunner().invoke(cli, ["init", str(folder)]).exit_code == 0
    assert {file.name for file in (folder / "policies").iterdir()} >= {"plans.yaml", "terms.yaml", "content.yaml"}
    assert "tenant studio added" in Shell(folder).ok("tenant", "add", "studio")
    (folder / "gateway.yaml").write_text("mine")
    assert "nothing was written" in Shell(folder).fails("init", str(folder))
    again = CliRunner().invoke(cli, ["init", str(folder)])
    assert again.exit_code == 1
    assert "nothing was written" in again.output
    assert (folder / "gateway.yaml").read_text() == "mine"


def test_init_writes_nothing_when_only_one_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "terms.yaml").touch()
    assert CliRunner().invoke(cli, ["init", str(tmp_path)]).exit_code == 1
    assert not (tmp_path / "gateway.yaml").exists()


# -- tenants and users ------------------------------------------------------------------------------------------------


def test_a_tenant_lives_from_add_to_remove(shell: Shell) -> None:
    added = shell.json("tenant", "add", "studio", "--plan", "light", "--quota", "1GB")
    assert (added["plan"], added["quota_bytes"], added["quota_files"]) == ("light", 1024**3, 100_000)
    assert [one["name"] for one in shell.json("tenant", "list")] == ["studio"]
    assert shell.json("tenant", "suspend", "studio")["state"] == "suspended"
    assert shell.json("tenant", "show", "studio")["state"] == "suspended"
    assert shell.json("tenant", "resume", "studio")["state"] == "active"
    free = shell.json("tenant", "set", "studio", "--quota", "unlimited", "--files", "unlimited")
    assert (free["quota_bytes"], free["quota_files"]) == (None, None)
    assert "unlimited, any number of files" in shell.ok("tenant", "set", "studio", "--plan", "light")
    assert shell.json("tenant", "set", "studio", "--quota", "plan")["quota_bytes"] == 10 * 1024**3
    assert shell.run("tenant", "remove", "studio", text="n\n").exit_code == 1
    assert shell.json("tenant", "show", "studio")["state"] == "active"
    assert shell.json("tenant", "remove", "studio", "--yes")["state"] == "removed"
    assert shell.json("tenant", "list") == []


def test_a_tenant_gets_the_plan_that_the_price_list_names(studio: Shell) -> None:
    assert studio.json("tenant", "show", "studio")["plan"] == "standard"


def test_mistakes_about_tenants_are_told_in_one_line(studio: Shell) -> None:
    assert "no plan 'gold'; the price list has" in studio.fails("tenant", "add", "x", "--plan", "gold")
    assert "no tenant name" in studio.fails("tenant", "add", "X")
    assert "already" in studio.fails("tenant", "add", "studio")
    assert "no tenant 'x'" in studio.fails("tenant", "show", "x")
    assert studio.run("tenant", "add", "x", "--quota", "much").exit_code == 2


def test_a_user_is_an_editor_unless_said_and_its_password_comes_from_the_input(studio: Shell) -> None:
    added = studio.json("user", "add", "studio", "ann", "--password-stdin", text="secret\n")
    assert (added["role"], "password" in added) == ("editor", False)
    viewer = studio.json("user", "add", "studio", "bob", "--role", "viewer", "--generate")
    assert viewer["role"] == "viewer"
    assert len(viewer["password"]) >= 16
    assert studio.json("user", "passwd", "studio", "bob", "--generate")["password"] != viewer["password"]
    assert studio.json("user", "disable", "studio", "bob")["disabled"] is True
    listed = studio.json("user", "list", "studio")
    assert [(one["login"], one["disabled"]) for one in listed] == [("ann", False), ("bob", True)]
    assert "hash" not in json.dumps(listed)


def test_a_password_is_never_an_argument_and_never_guessed(studio: Shell) -> None:
    assert studio.run("user", "add", "studio", "ann", text="").exit_code == 2
    assert studio.run("user", "add", "studio", "ann", "--generate", "--password-stdin", text="x").exit_code == 2
    assert "1 to 1024 characters" in studio.fails("user", "add", "studio", "ann", "--password-stdin", text="\n")
    assert studio.json("user", "list", "studio") == []


# -- policies ---------------------------------------------------------------------------------------------------------


def test_a_policy_is_checked_applied_assigned_and_has_a_history(studio: Shell) -> None:
    plans = studio.folder / "plans.yaml"
    plans.write_text(studio.ok("policy", "show", "plans").replace("capacity: 100GB", "capacity: 7GB"))
    assert "valid plans policy" in studio.ok("policy", "check", str(plans))
    applied = studio.json("policy", "apply", "plans", str(plans))
    assert (applied["version"], applied["tenant"]) == (2, None)
    assert studio.json("tenant", "show", "studio")["quota_bytes"] == 7 * 1024**3
    studio.ok("policy", "assign", "studio", "plans", "1")
    assert studio.json("tenant", "show", "studio")["quota_bytes"] == 100 * 1024**3
    in_force = {(one["policy"], one["tenant"]): one["version"] for one in studio.json("policy", "list")}
    assert {**in_force, ("plans", None): 2, ("plans", "studio"): 1, ("terms", None): 1} == in_force
    studio.ok("policy", "assign", "studio", "plans", "default")
    assert studio.json("tenant", "show", "studio")["quota_bytes"] == 7 * 1024**3
    history = studio.json("policy", "history", "plans")
    assert [one["version"] for one in history] == [1, 2]
    assert history[0]["who"] == "kurado"
    assert all(len(one["digest"]) == 64 for one in history)


def test_a_bad_policy_is_refused_with_its_place_and_changes_nothing(studio: Shell) -> None:
    bad = studio.folder / "prices.yaml"
    bad.write_text(studio.ok("policy", "show", "plans").replace("capacity: 100GB", "capacity: much"))
    assert "plans[1].capacity" in studio.fails("policy", "check", str(bad), "--name", "plans")
    assert "plans[1].capacity" in studio.fails("policy", "apply", "plans", str(bad))
    assert len(studio.json("policy", "history", "plans")) == 1
    assert "no version 9" in studio.fails("policy", "assign", "studio", "plans", "9")


def test_a_policy_under_another_name_is_not_silently_judged_as_a_content(studio: Shell) -> None:
    (studio.folder / "mine.yaml").write_text("rules: [")
    assert "say which one with --name" in studio.run("policy", "check", str(studio.folder / "mine.yaml")).stderr
    assert studio.fails("policy", "check", "--name", "content", str(studio.folder / "mine.yaml"))


def test_a_policy_is_read_from_the_input_too(studio: Shell) -> None:
    text = studio.ok("policy", "show", "terms").replace("value: 21", "value: 1")
    assert studio.json("policy", "apply", "terms", "-", text=text)["version"] == 2


def test_content_rules_are_explained_offline_by_those_in_force_and_by_a_draft(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump({"version": 1, "plugins": ["content_policy"]}))
    shell = Shell(tmp_path)
    photo = tmp_path / "note.txt"
    photo.write_text("hello")
    in_force = shell.ok("policy", "check", str(photo))
    assert "verdict of these rules: clean" in in_force
    assert "no virus scanner was asked" in in_force
    draft = tmp_path / "content.yaml"
    draft.write_text(shell.ok("policy", "show", "content"))
    assert shell.ok("policy", "check", str(draft), "--against", str(photo)) == in_force


# -- import -----------------------------------------------------------------------------------------------------------


def tree(folder: Path) -> Path:
    """Folders, an empty file, a name in NFD, links and a pipe."""
    (folder / "a" / "empty folder").mkdir(parents=True)
    (folder / "a" / "one.txt").write_bytes(b"one")
    (folder / "a" / "empty").touch()
    (folder / "ガ.txt").write_bytes(b"kana")
    (folder / "big").write_bytes(os.urandom(3 * 1024 * 1024 + 1))
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "a" / "up").symlink_to("..")
    os.mkfifo(folder / "pipe")
    return folder


def test_an_existing_tree_comes_in_once_and_running_again_changes_nothing(studio: Shell, tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    first = studio.json("import", "studio", str(source))
    assert (first["imported"], first["unchanged"], first["collections"]) == (4, 0, 2)
    assert first["complete"]
    assert {one["path"] for one in first["skipped"]} == {"link", "a/up", "pipe"}
    assert first["bytes"] == studio.json("tenant", "show", "studio")["used_bytes"] == 3 * 1024 * 1024 + 1 + 7
    again = studio.json("import", "studio", str(source))
    assert (again["imported"], again["unchanged"], again["collections"]) == (0, 4, 0)


def test_an_import_says_where_it_went_and_counts_as_people_do(studio: Shell) -> None:
    source = studio.folder / "source"
    source.mkdir()
    (source / "one").write_bytes(b"x")
    result = studio.run("import", "studio", str(source), "--into", "/%zz")
    assert result.exit_code == 2
    assert "'/%zz' holds a % that begins no percent-code" in result.stderr
    told = studio.ok("import", "studio", str(source), "--into", "/100%25")
    assert told == "1 file imported (1 B), 0 there already, 1 folder made\n"


def test_an_import_without_a_scanner_tells_it_once_in_words(tmp_path: Path) -> None:
    scan = {"name": "virus_scan", "address": str(tmp_path / "no.sock"), "on_error": "refuse"}
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump({"version": 1, "plugins": [scan]}))
    shell = Shell(tmp_path)
    shell.ok("tenant", "add", "studio")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "one").write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from gateway.cli import main; main()", "--config", str(tmp_path / "gateway.yaml"),
         "import", "studio", str(tmp_path / "source")],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    problem, stopped = done.stderr.splitlines()
    assert problem == "not imported: one: the inspection 'virus_scan' is not available"
    assert stopped.startswith("stopped: ")


def test_what_changed_comes_in_again_and_a_new_time_alone_does_not(studio: Shell, tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    studio.ok("import", "studio", str(source), "--into", "/old/disk%201")
    (source / "a" / "one.txt").write_bytes(b"two")
    os.utime(source / "a" / "one.txt", (1, 1))
    os.utime(source / "big", (1, 1))
    again = studio.json("import", "studio", str(source), "--into", "/old/disk%201")
    assert (again["imported"], again["unchanged"]) == (1, 3)


def test_names_that_a_space_cannot_hold_are_reported_and_the_rest_comes_in(studio: Shell, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "good").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(source) + b"/bad\xff")).write_bytes(b"x")
    (source / "bell\x07").mkdir()
    (source / "bell\x07" / "inside").write_bytes(b"x")
    result = studio.run("import", "studio", str(source), "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["imported"] == 1
    assert [one["code"] for one in summary["problems"]] == ["invalid-name", "invalid-name"]
    assert len(studio.json("refusals", "list", "--tenant", "studio")) == 2


def test_an_import_stops_at_the_quota_and_goes_on_when_there_is_room(studio: Shell, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(8):
        (source / f"{number}").write_bytes(b"x" * 100)
    studio.ok("tenant", "set", "studio", "--quota", "450")
    full = studio.run("import", "studio", str(source), "--json")
    assert full.exit_code == 1
    assert json.loads(full.stdout)["imported"] == 4
    assert studio.json("tenant", "show", "studio")["used_bytes"] == 400
    assert {one["policy"] for one in studio.json("refusals", "list")} == {"quota"}
    studio.ok("tenant", "set", "studio", "--quota", "plan")
    rest = studio.json("import", "studio", str(source))
    assert (rest["imported"], rest["unchanged"]) == (4, 4)


def test_a_file_where_a_folder_must_be_is_reported(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "a" / "b").write_bytes(b"x")
    (source / "c").write_bytes(b"x")
    with open_space(tmp_path / "gateway") as space:
        space.put("a", b"a file")
        space.mkcol("c")
        summary = run_import(space, source)
        assert {(one.path, one.code) for one in summary.problems} == {("a", "already-exists"), ("c", "already-exists")}
        assert space.read("a") == b"a file"


def test_a_name_that_is_not_imported_cannot_write_on_the_terminal(studio: Shell) -> None:
    source = studio.folder / "source"
    source.mkdir()
    (source / "a\n\x1b[2Jb").touch()
    result = studio.run("import", "studio", str(source))
    assert result.exit_code == 1
    assert "not imported: a\\n\\x1b[2Jb: the name holds" in result.stderr


def test_imported_files_keep_their_times_and_bytes(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    os.utime(source / "a" / "one.txt", ns=(0, 1_234_567_890_123_000_000))
    with open_space(tmp_path / "gateway") as space:
        assert run_import(space, source).complete
        assert space.read("a/one.txt") == b"one"
        assert space.read("big") == (source / "big").read_bytes()
        version = space.services.files.get(space.caller, ("a", "one.txt")).version
        assert version is not None
        assert version.mtime == 1_234_567_890_123
        assert space.names("a") == ["empty", "empty folder/", "one.txt"]


def run_import(space: Space, source: Path) -> Any:
    from gateway.service.importing import Import

    services = space.services
    owner = operator_caller(space.caller.tenant)
    caller = Caller(owner.tenant, owner.user, verb="IMPORT")
    return Import(services.files, services.uploads, services.refusals, caller).run(source)


# -- refusals and locks -----------------------------------------------------------------------------------------------


def test_refusals_and_locks_are_listed_with_masked_names(tmp_path: Path) -> None:
    from gateway.domain.errors import Infected
    from gateway.domain.lock import Scope
    from gateway.domain.upload import NO_CONDITIONS

    with open_space(tmp_path) as space:
        space.services.refusals.record(
            space.caller, ("secret name",), Infected("Eicar", policy="virus_scan", clause="x")
        )
        space.put("secret name", b"x")
        lock, _, _ = space.services.locks.take(
            space.caller, ("secret name",), Scope.EXCLUSIVE, False, "", 86_400, NO_CONDITIONS
        )
        space.clock.now = wall_clock()  # the command reads the real clock
        space.services.db.write(lambda tx: tx.locks.refresh(lock.token, 86_400, space.clock.now + 86_400_000)).result()
    shell = Shell(tmp_path)
    (refusal,) = shell.json("refusals", "list")
    assert (refusal["tenant"], refusal["user"], refusal["code"], refusal["policy"]) == (
        "studio",
        "ann",
        "infected",
        "virus_scan",
    )
    (listed,) = shell.json("lock", "list", "--tenant", "studio")
    assert (listed["user"], listed["token"], listed["scope"]) == ("ann", lock.token, "exclusive")
    assert "secret" not in json.dumps([refusal, listed])
    assert refusal["path"] == listed["path"]
    assert shell.run("lock", "break", lock.token, text="n\n").exit_code == 1
    assert shell.json("lock", "break", lock.token, "--yes")["broken"]
    assert shell.json("lock", "list") == []
    assert "no lock" in shell.fails("lock", "break", lock.token, "--yes")


def test_what_is_not_there_is_said_before_anything_is_asked(studio: Shell) -> None:
    assert "there is no lock nope" in studio.fails("lock", "break", "nope")
    assert "no cursor of nobody in the log of studio" in studio.fails("outbox", "skip", "nobody", "studio")
    assert "metering is no subscriber that was removed" in studio.fails("outbox", "forget", "metering")


def test_an_event_is_named_before_it_is_skipped(studio: Shell) -> None:
    with sqlite3.connect(studio.folder / "data" / "kurado.db") as db:
        db.execute("INSERT INTO cursors SELECT 'metering', id, 0, 10, 0, 'ValueError: bug', 1 FROM tenants")
    db.close()
    asked = studio.run("outbox", "skip", "metering", "studio", text="n\n")
    assert asked.exit_code == 1
    assert "metering will never see event 1 (tenant.changed) of studio. Skip it?" in asked.stderr
    assert studio.json("outbox", "list")[0]["next_event"] == 1
    assert studio.ok("outbox", "skip", "metering", "studio", "--yes") == "metering skipped event 1 of studio\n"
