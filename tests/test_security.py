"""What comes from elsewhere (names, tables, records, saved tensors) reaches no place and runs no code of its choice."""

from __future__ import annotations

import contextlib
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness.bench import tensors
from harness.bench.errors import UsageError
from harness.cli import cli
from harness.tables.writing import write_table
from tests.tables.samples import passed, table, write_attempt

ROOT = Path(__file__).resolve().parents[1]

SECRET = "a-word-that-nobody-prints"

ELSEWHERE = (
    "..",
    ".",
    "../outside",
    "../../outside",
    "../../../../../../../../etc/passwd",
    "/etc",
    "/etc/passwd",
    "./../outside",
    "small2.1/../../outside",
    "small2.1/",
    "small2.1+../../outside",
    "small2.1+/etc",
    "matrices/small2.1",
    "..\\outside",
    "C:\\outside",
    "%2e%2e/outside",
    "~",
    "~/outside",
    "file:///etc/passwd",
    "$HOME",
    "`id`",
    "-",
    ".hidden",
    "..outside/..",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout, and beside it a folder and a combination that are none of its business."""
    root = tmp_path / "checkout"
    (root / "matrices" / "locks").mkdir(parents=True)
    (root / "matrices" / "small2.1.in").write_text("# python: 3.11\nsix==1.16.0\n", encoding="utf-8")
    (root / "matrices" / "nightly.toml").write_text('combinations = ["small2.1"]\n', encoding="utf-8")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text(SECRET, encoding="utf-8")
    for name in ("outside.in", "outside.txt"):
        (tmp_path / name).write_text(f"# python: 3.11\nsix==1.16.0  # {SECRET}\n", encoding="utf-8")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def harness(root: Path, *arguments: str | Path) -> Result:
    """The command in this process."""
    return CliRunner().invoke(cli, ["--root", str(root), *map(str, arguments)], prog_name="harness")


def refused(root: Path, *arguments: str | Path) -> str:
    """What is told where the command refuses, having written nothing anywhere near."""
    before = contents(root.parent)
    done = harness(root, *arguments)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.stderr
    assert SECRET not in done.output
    assert contents(root.parent) == before
    return done.stderr


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_combination_is_a_name_and_no_path(checkout: Path, name: str) -> None:
    for command in ("plan", "lock", "run"):
        assert "unknown combination" in refused(checkout, command, "--", name)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_name_of_an_environment_is_no_path(checkout: Path, name: str) -> None:
    assert "--name" in refused(checkout, "run", "--python", sys.executable, f"--name={name}")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_no_table_is_not_shown(checkout: Path, name: str) -> None:
    refused(checkout, "show", "--", name)
    refused(checkout, "gate", "--", name, name)


@pytest.mark.parametrize("name", [*(name for name in ELSEWHERE if name != "-"), "a b", "1a", "a.py", ""])
def test_a_new_model_is_written_where_it_was_asked_for(checkout: Path, name: str) -> None:
    assert "cannot be a model's name" in refused(checkout, "new-model", "--folder", checkout, "--", name)


@pytest.mark.parametrize("option", ["--models", "--strategies"])
@pytest.mark.parametrize("name", ["..", "../outside", "/etc", "~/outside", "file:///etc/passwd", "`id`"])
def test_models_and_strategies_are_found_where_they_are(checkout: Path, option: str, name: str) -> None:
    refused(checkout, "plan", "small2.1", f"{option}={name}")


# A name that is a folder's and no path ends up under the folder of results, whatever it is called.
NO_FOLDER = [name for name in ELSEWHERE if "/" in name or "\\" in name or name.startswith(".")]


@pytest.mark.parametrize("key", ["combination", "extension", "device", "tier", "started"])
@pytest.mark.parametrize("name", NO_FOLDER)
def test_what_an_attempt_says_of_itself_is_no_path(checkout: Path, key: str, name: str) -> None:
    stated: dict[str, Any] = {key: name}
    attempt = write_attempt(checkout / "attempt", [passed("lstm", "native")], **stated)
    attempt.lock.write_text("six==1.16.0\n", encoding="utf-8")
    before = contents(checkout.parent)
    done = harness(checkout, "ingest", checkout / "attempt")
    new = contents(checkout.parent).keys() - before.keys() - {"checkout/attempt/.hold"}
    assert "Traceback" not in done.output
    assert done.exit_code == 2 or all(path.startswith("checkout/results/torch2.0/cpu-quick") for path in new), new
    assert all(contents(checkout.parent)[path] == data for path, data in before.items())


@pytest.mark.parametrize("name", NO_FOLDER)
def test_a_tables_combination_is_no_path(checkout: Path, name: str) -> None:
    before = contents(checkout.parent)
    made = table(passed("lstm", "native"))
    with pytest.raises(UsageError, match="cannot name a folder of results"):
        write_table(checkout / "results", replace(made, run=replace(made.run, combination=name)))
    assert contents(checkout.parent) == before


@pytest.fixture
def outside(checkout: Path) -> Path:
    """A folder beside the checkout."""
    return checkout.parent / "outside"


def test_a_link_in_the_place_of_an_unfinished_table_is_not_followed(checkout: Path, outside: Path) -> None:
    made = table(passed("lstm", "native"))
    series = write_table(checkout / "results", made).parent
    later = replace(made, run=replace(made.run, started="2026-02-01T12:00:00Z"))
    (series / ".20260201T120000Z.partial").symlink_to(outside, target_is_directory=True)
    (series / ".20250201T120000Z.partial").symlink_to(outside, target_is_directory=True)
    before = contents(outside)
    with contextlib.suppress(UsageError):
        write_table(checkout / "results", later)
    assert contents(outside) == before


def test_a_link_in_the_place_of_a_table_is_not_written_through(checkout: Path, outside: Path) -> None:
    made = table(passed("lstm", "native"))
    series = checkout / "results" / "torch2.0" / "cpu-quick"
    series.mkdir(parents=True)
    (series / "20260131T120000Z").symlink_to(outside, target_is_directory=True)
    before = contents(outside)
    with pytest.raises(UsageError):
        write_table(checkout / "results", made)
    assert contents(outside) == before


@pytest.mark.parametrize("file", ["cells.csv", "launches.csv", "run.json", "native.json", "lock.txt"])
def test_a_link_to_something_else_is_refused_and_not_quoted(checkout: Path, outside: Path, file: str) -> None:
    folder = write_table(checkout / "results", table(passed("lstm", "native")))
    (folder / file).unlink(missing_ok=True)
    (folder / file).symlink_to(outside / "kept.txt")
    for arguments in (("show", folder), ("gate", folder, folder)):
        done = harness(checkout, *arguments)
        assert SECRET not in done.output
        assert "Traceback" not in done.output


def test_links_that_go_round_in_circles_end(checkout: Path) -> None:
    results = checkout / "results"
    results.mkdir()
    (results / "round").symlink_to(results, target_is_directory=True)
    (results / "loop").symlink_to(results / "loop")
    for name in ("round", "loop"):
        refused(checkout, "show", name)
        refused(checkout, "show", results / name)


class _Harm:
    """What runs when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_saved_arrays_are_no_pickles(tmp_path: Path) -> None:
    hidden = np.empty(1, dtype=object)
    hidden[0] = _Harm(tmp_path / "harm")
    np.savez(tmp_path / "array.npz", arr_0=hidden)
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(_Harm(tmp_path / "harm")))
    with zipfile.ZipFile(tmp_path / "member.npz", "w") as archive:
        archive.writestr("arr_0.npy", pickle.dumps(_Harm(tmp_path / "harm")))
    for name in ("array.npz", "pickle.npz", "member.npz"):
        with contextlib.suppress(ValueError):  # a member that is no array comes as its bytes
            tensors.load(tmp_path / name)
    assert not (tmp_path / "harm").exists()
    pickle.loads((tmp_path / "pickle.npz").read_bytes())
    assert (tmp_path / "harm").exists(), "unpickled it does harm: otherwise this shows nothing"


def _bench(folder: Path) -> subprocess.CompletedProcess[str]:
    """The bench without `--out`, with `folder` for temporary files; no framework is installed here."""
    command = [sys.executable, "-m", "pytest", "-c", "harness/bench/pytest.ini", "-p", "harness.bench"]
    command += ["--models=length-loop", "--strategies=native", "--device=cpu"]
    environ = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120)


def test_scratch_in_a_place_for_everybody_is_our_own() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o1777)
        done = _bench(folder)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        scratch = folder / f"harness-{os.getuid()}"
        assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
        assert [path for path in folder.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_scratch_that_somebody_else_has_prepared_is_refused(outside: Path, tmp_path: Path) -> None:
    folder = tmp_path / "everybodys"
    folder.mkdir()
    (folder / f"harness-{os.getuid()}").symlink_to(outside, target_is_directory=True)
    before = contents(outside)
    done = _bench(folder)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "belongs to somebody else" in done.stderr
    assert contents(outside) == before
