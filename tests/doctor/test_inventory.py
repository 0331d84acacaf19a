"""What the harness keeps on a machine, what of it a name means, and that nothing else is ever removed."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import cli
from harness.bench.errors import NotWritableError
from harness.bench.hold import HOLD_FILE, hold
from harness.doctor.inventory import NODE_CACHE, UV_CACHE, take_inventory
from harness.executors.node_room import CACHE, USERS, place_of_cache
from harness.matrix import tooling
from harness.matrix.combination import given_folder
from harness.matrix.environment import INSTALLED, holding_folder

MIB = 2**20

Files = Callable[[], dict[str, tuple[int, bytes]]]


def _file(path: Path, size: int = MIB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of uv's, of the tests' own."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def node_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What this machine would keep as a node, of the tests' own."""
    monkeypatch.setenv(CACHE, str(tmp_path / "node"))
    return tmp_path / "node"


def _on_node(cache: Path, lock: str) -> Path:
    """An environment of torch2.0 that a node keeps for a lock."""
    folder = cache / lock / ".tox" / "torch2.0"
    _file(folder / "lib" / "big.so", 3 * MIB)
    (folder / INSTALLED).write_text("{}", encoding="utf-8")
    (cache / lock / "lock.txt").touch()
    (cache / lock / USERS).touch()
    return folder


@pytest.fixture
def full(root: Path, cache: Path) -> Path:
    """A repository that has something of all there is."""
    wheel = _file(cache / "archive-v0" / "abc" / "big.so", 4 * MIB)
    installed = root / ".tox" / "small"
    (installed / "lib").mkdir(parents=True)
    os.link(wheel, installed / "lib" / "big.so")
    _file(installed / "lib" / "own.so", 2 * MIB)
    (installed / INSTALLED).write_text("{}", encoding="utf-8")
    _file(root / ".tox" / "lint" / "lib" / "ruff")
    given = given_folder(root, "reqs-12345678")
    _file(given / "env" / "lib" / "big.so", 3 * MIB)
    for file in ("given.json", "lock.txt"):
        (given / file).write_text("{}", encoding="utf-8")
    for parts in ("attempts/small/cpu-quick-1", "details/small", "duels/a--b/1", "scratch/small", "trials/1", "logs"):
        _file(root / ".harness" / parts / "big.json")
    _file(root / ".harness" / "notes" / "mine.txt")
    _file(root / "results" / "small" / "cells.csv")
    return root


def _clean(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli.cli, ["--root", str(root), "clean", *arguments])


def test_all_that_is_kept_is_shown_with_what_it_takes_and_frees(full: Path, files: Files) -> None:
    before = files()
    items = {each.name: each for each in take_inventory(full).items}
    assert set(items) == {
        ".tox/small",
        ".harness/environments/reqs-12345678/env",
        ".harness/attempts/small/cpu-quick-1",
        ".harness/details/small",
        ".harness/duels/a--b/1",
        ".harness/scratch/small",
        ".harness/trials",
        ".harness/logs",
        UV_CACHE,
    }
    assert items[".tox/small"].takes // MIB == 6
    assert items[".tox/small"].frees // MIB == 2, "the other file is linked to uv's cache"
    done = _clean(full)
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1] == "measuring uv's cache", "which may take a minute"
    assert any(line.startswith("2 MiB  6 MiB  ") and ".tox/small" in line for line in done.output.splitlines())
    assert "Not the harness's, and left alone: .tox/lint, .harness/notes." in done.output
    told = {each["name"]: each for each in json.loads(_clean(full, "--json").stdout)}
    assert told[".tox/small"]["frees"] == items[".tox/small"].frees
    assert files() == before


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        ([".tox/small"], {".tox/small"}),
        ([".tox/small/", "./.harness/logs"], {".tox/small", ".harness/logs"}),
        ([".harness/environments/*"], {".harness/environments/reqs-12345678/env"}),
        (
            [".harness/attempts", ".harness/duels/a--*"],
            {".harness/attempts/small/cpu-quick-1", ".harness/duels/a--b/1"},
        ),
        ([".tox/s*", "*/trials"], {".tox/small", ".harness/trials"}),
    ],
)
def test_what_is_named_goes_and_nothing_else(full: Path, files: Files, names: list[str], gone: set[str]) -> None:
    before = files()
    done = _clean(full, *names, "--dry-run")
    assert (done.exit_code, files()) == (0, before)
    assert {line.split()[2].rstrip(":") for line in done.stdout.splitlines()} == gone
    done = _clean(full, *names)
    assert done.exit_code == 0, done.output
    assert {line.split()[1].rstrip(":") for line in done.stdout.splitlines()} == gone
    left = {name: each for name, each in files().items() if not name.endswith(HOLD_FILE)}
    assert left == {name: each for name, each in before.items() if not any(name.startswith(f"{g}/") for g in gone)}


def test_what_went_is_told_as_json_with_its_bytes(full: Path) -> None:
    items = {each.name: each for each in take_inventory(full).items}
    names = [".tox/small", ".harness/attempts/small/cpu-quick-1"]
    dry = json.loads(_clean(full, *names, "--json", "--dry-run").stdout)
    assert [(each["removed"], each["freed"]) for each in dry] == [(False, 0), (False, 0)]
    with hold(full / names[1], "it", print):
        done = _clean(full, *names, "--json")
    assert done.exit_code == 3
    told = {each["name"]: (each["removed"], each["freed"]) for each in json.loads(done.stdout)}
    assert told == {names[0]: (True, items[names[0]].frees), names[1]: (False, 0)}
    assert not (full / names[0]).exists()
    assert not {"removed", "freed"} & json.loads(_clean(full, "--json").stdout)[0].keys(), "of what is only shown"


def test_everything_that_a_glob_means_is_the_harnesss_own(full: Path, cache: Path) -> None:
    assert _clean(full, "*").exit_code == 0
    assert [each.name for each in take_inventory(full).items] == [UV_CACHE]
    for path in (".tox/lint/lib/ruff", ".harness/notes/mine.txt", "results/small/cells.csv", "matrices/small.in"):
        assert (full / path).exists()
    assert (given_folder(full, "reqs-12345678") / "lock.txt").exists()
    assert (cache / "archive-v0" / "abc" / "big.so").exists()


@pytest.mark.parametrize(
    "name", [".tox/lint", "../outside", "results/small", ".tox/smal", "/etc", ".harness/notes", "."]
)
def test_a_name_of_anything_else_is_wrong_use_and_nothing_goes(full: Path, files: Files, name: str) -> None:
    before = files()
    done = _clean(full, ".tox/small", name)
    assert done.exit_code == 2
    assert "Nothing was removed." in done.output
    assert files() == before


def test_what_is_held_stays_and_it_is_said_by_whom(full: Path) -> None:
    attempt = full / ".harness" / "attempts" / "small" / "cpu-quick-1"
    with hold(holding_folder(full, "small"), "it", print), hold(attempt, "it", print):
        done = _clean(full, ".tox/small", ".harness/attempts", ".harness/logs")
        assert done.exit_code == 3
        assert f"left .tox/small: it is held by process {os.getpid()} since " in done.output
        assert "left .harness/attempts/small/cpu-quick-1: it is held by" in done.output
        assert "removed .harness/logs: 1 MiB free" in done.output
    assert (attempt / "big.json").exists()
    assert (full / ".tox" / "small" / INSTALLED).exists()
    assert _clean(full, ".tox/small").exit_code == 0
    assert not (full / ".tox" / "small").exists()


def test_uvs_cache_goes_by_its_own_name_alone(root: Path, cache: Path, tmp_path: Path) -> None:
    command = [tooling.uv(), "venv", "-q", "-p", sys.executable, str(tmp_path / "any")]
    subprocess.run(command, check=True)
    assert any(cache.iterdir())
    assert _clean(root, "uv-*").exit_code == 2
    assert any(cache.iterdir())
    assert _clean(root, UV_CACHE).exit_code == 0
    assert not cache.exists() or not list(cache.glob("*/*"))


def test_what_is_a_link_is_somebody_elses(full: Path, tmp_path: Path) -> None:
    theirs = _file(tmp_path / "theirs" / "big.bin")
    (full / ".harness" / "artifacts").symlink_to(theirs.parent)
    inventory = take_inventory(full)
    assert ".harness/artifacts" not in {each.name for each in inventory.items}
    assert ".harness/artifacts" in inventory.foreign
    for each in inventory.items:
        assert each.shared or each.remove()
    assert theirs.exists()


def test_what_could_not_be_removed_is_not_said_to_be_gone(full: Path) -> None:
    (logs,) = (each for each in take_inventory(full).items if each.name == ".harness/logs")
    with pytest.raises(NotWritableError, match=r"\.harness/logs could not be removed, or not all of it"):
        replace(logs, removal=lambda _: None).remove()


@pytest.mark.parametrize("name", [f"{NODE_CACHE}/abc/torch2.0", f"{NODE_CACHE}/*", NODE_CACHE])
def test_what_is_kept_as_a_node_is_shown_and_goes_by_its_name_unless_a_unit_uses_it(
    root: Path, cache: Path, node_cache: Path, name: str
) -> None:
    folder = _on_node(node_cache, "abc")
    (row,) = (line for line in _clean(root).stdout.splitlines() if f" {NODE_CACHE}/abc/torch2.0 " in line)
    assert row.split()[:4] == ["3", "MiB", "3", "MiB"]
    assert _clean(root, "*").exit_code == 2, "other checkouts use it"
    with (folder.parents[1] / USERS).open("rb") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        done = _clean(root, name)
        assert (done.exit_code, folder.exists()) == (3, True)
        assert f"left {NODE_CACHE}/abc/torch2.0: it is held by another process" in done.output
    done = _clean(root, name)
    assert (done.exit_code, folder.exists()) == (0, False)
    assert f"removed {NODE_CACHE}/abc/torch2.0: 3 MiB free" in done.output
    assert (folder.parents[1] / "lock.txt").exists()


def test_where_a_node_keeps_nothing_nothing_is_made(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE)
    monkeypatch.setattr("tempfile.tempdir", str(cache))
    assert place_of_cache() == cache / f"harness-{os.getuid()}" / "node"
    assert [each.name for each in take_inventory(root).items] == [UV_CACHE]
    assert not any(cache.iterdir())
