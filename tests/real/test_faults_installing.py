"""What may happen to an environment while it is installed and afterwards, each brought about for real.

The environments are small, and so is the cache of uv that they come from, which is the tests' own: it gets poisoned.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.bench.errors import (
    DiskFullError,
    EnvironmentChangedError,
    IndexUnreachableError,
    InterpreterGoneError,
    NotWritableError,
    ToolBrokenError,
    UsageError,
)
from harness.bench.stages import Outcome, Stage
from harness.matrix.environment import FactOfPins, Prepared, clean_environ
from harness.matrix.installing import INSTALLED
from harness.matrix.tooling import uv
from harness.matrix.wholeness import broken, claims, sites
from tests.real.checkouts import CHECKOUT, NAME, log_of, make_checkout, prepare, relock

pytestmark = pytest.mark.real

# A small package, and one with a file of more than 1 MiB.
REQUIREMENTS = ("six==1.16.0", "regex==2023.12.25")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of uv's beside the environments, so that files are linked, for all tests of this file."""
    folder = tmp_path_factory.getbasetemp() / "uv-cache"
    monkeypatch.setenv("UV_CACHE_DIR", str(folder))
    monkeypatch.delenv("UV_LINK_MODE", raising=False)
    return folder


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    """A checkout whose environment is not installed yet."""
    return make_checkout(tmp_path / "checkout", *REQUIREMENTS)


@pytest.fixture
def notes() -> list[str]:
    """What a person is told."""
    return []


@pytest.fixture
def prepared(root: Path) -> Prepared:
    """An environment that is whole."""
    made = prepare(root)
    assert isinstance(made, Prepared), made
    return made


def _site(root: Path) -> Path:
    return next((root / ".tox" / NAME / "lib").glob("python*")) / "site-packages"


def _marker(root: Path) -> Path:
    return root / ".tox" / NAME / INSTALLED


def _again(root: Path, notes: list[str]) -> Prepared:
    made = prepare(root, notes.append)
    assert isinstance(made, Prepared), made
    return made


def _is_whole(root: Path) -> None:
    """As seen from outside: by uv, by importing, and by what is said next time."""
    python = root / ".tox" / NAME / "bin" / "python"
    code = "import six, regex, pytest, pytest_benchmark, filelock; print(six.__version__, regex.findall('a+', 'baab'))"
    done = subprocess.run([python, "-c", code], env=clean_environ(), capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("1.16.0 ['aa']\n", 0), done.stderr
    later: list[str] = []
    assert _again(root, later).changes() == []
    assert later == []
    assert log_of(root).read_bytes() == b"", "tox was not needed"


def _start(root: Path, **environ: str) -> subprocess.Popen[str]:
    """The preparing of the environment as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.real.checkouts", str(root)],
        cwd=CHECKOUT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _told(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    output, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors, errors
    return [json.loads(line) for line in output.splitlines()]


def _at_work(root: Path) -> dict[int, str]:
    """Processes of tox and uv that work on the environment: those with its marker, and their command."""
    found = {}
    wanted = f"HARNESS_ATTEMPT={root / '.tox' / NAME}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found


def _wait(condition: Any, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.002)


# --- whole ------------------------------------------------------------------------------------------------------------


def test_an_environment_is_installed_once_and_its_small_files_are_its_own(root: Path, notes: list[str]) -> None:
    prepared = _again(root, notes)
    assert notes == []
    assert prepared.packages["six"] == "1.16.0"
    assert prepared.python_version.startswith("3.11.")
    assert (_site(root) / "six.py").stat().st_nlink == 1
    (large,) = (_site(root) / "regex").glob("_regex.*.so")
    assert large.stat().st_size > 2**20
    assert large.stat().st_nlink > 1, "it is shared with uv's cache"
    assert json.loads(_marker(root).read_text(encoding="utf-8"))["lock"]
    _is_whole(root)


def test_what_plain_tox_installed_is_checked_and_taken(root: Path, notes: list[str]) -> None:
    command = [sys.executable, "-m", "tox", "run", "--notest", "-e", NAME, f"--workdir={root / '.tox'}"]
    subprocess.run(command, cwd=root, env=clean_environ(), capture_output=True, check=True)
    assert not _marker(root).exists()
    _again(root, notes)
    assert notes == []
    _is_whole(root)


def test_another_lock_is_installed(root: Path, prepared: Prepared, notes: list[str]) -> None:
    relock(root, *REQUIREMENTS, "iniconfig", "toolz==0.12.0")
    again = _again(root, notes)
    assert "toolz" in again.packages
    _is_whole(root)
    relock(root, *REQUIREMENTS)
    assert "toolz" not in _again(root, notes).packages
    _is_whole(root)


def test_bytecode_is_no_change(root: Path, prepared: Prepared) -> None:
    subprocess.run([prepared.python, "-m", "compileall", "-q", _site(root)], check=True)
    assert (_site(root) / "__pycache__").exists()
    assert prepared.changes() == []


# --- changed behind the lock ------------------------------------------------------------------------------------------


def test_an_edited_file_is_noticed_and_mended_and_never_reaches_the_cache(
    root: Path, prepared: Prepared, notes: list[str], tmp_path: Path
) -> None:
    path = _site(root) / "six.py"
    original = path.read_bytes()
    started = time.time()
    path.write_bytes(original.replace(b"1.16.0", b"6.66.6"))  # of equal length, in place
    (change,) = prepared.changes()
    assert (change.what, change.package) == ("edited", "six")
    assert change.path.endswith("site-packages/six.py")
    assert started - 1 <= change.changed <= time.time()

    mended = prepared.mended([change], note=notes.append)
    assert path.read_bytes() == original
    assert mended.changes() == []
    assert len(notes) == 1
    assert notes[0].startswith(f"{NAME}: reinstalling six, changed since it was installed: edited ")
    _is_whole(root)

    other = make_checkout(tmp_path / "other", *REQUIREMENTS)
    prepare(other)
    assert (_site(other) / "six.py").read_bytes() == original


def test_it_is_noticed_before_a_run_too(root: Path, prepared: Prepared, notes: list[str]) -> None:
    (_site(root) / "pytest" / "__init__.py").write_text("raise RuntimeError\n", encoding="utf-8")
    _again(root, notes)
    assert len(notes) == 1
    assert "reinstalling pytest, changed since it was installed" in notes[0]
    _is_whole(root)


def test_a_large_file_that_was_edited_through_its_link_is_mended_in_the_cache_too(
    root: Path, prepared: Prepared, notes: list[str], tmp_path: Path
) -> None:
    (large,) = (_site(root) / "regex").glob("_regex.*.so")
    original = large.read_bytes()
    with large.open("r+b") as file:
        file.seek(2**19)
        file.write(bytes(byte ^ 255 for byte in original[2**19 : 2**19 + 64]))
    changes = prepared.changes()
    assert [change.package for change in changes] == ["regex"]
    prepared.mended(changes, note=notes.append)
    assert large.read_bytes() == original
    _is_whole(root)
    other = make_checkout(tmp_path / "other", *REQUIREMENTS)
    prepare(other)
    (elsewhere,) = (_site(other) / "regex").glob("_regex.*.so")
    assert elsewhere.read_bytes() == original


def test_a_cut_file_that_came_from_a_poisoned_cache_is_mended(root: Path, notes: list[str], tmp_path: Path) -> None:
    other = make_checkout(tmp_path / "other", *REQUIREMENTS)
    prepare(other)
    (shared,) = (_site(other) / "regex").glob("_regex.*.so")
    with shared.open("r+b") as file:
        file.truncate(1000)
    _again(root, notes)
    assert len(notes) == 1
    assert f"{NAME}: not whole, reinstalling regex (1 files of regex missing or cut)" in notes[0]
    (mended,) = (_site(root) / "regex").glob("_regex.*.so")
    assert mended.stat().st_size > 2**20
    _is_whole(root)


def test_what_was_removed_and_added_is_undone(root: Path, prepared: Prepared, notes: list[str]) -> None:
    (_site(root) / "regex" / "__init__.py").unlink()
    (_site(root) / "evil.pth").write_text("import os\n", encoding="utf-8")
    (_site(root) / "stray" / "deep").mkdir(parents=True)
    (_site(root) / "stray" / "deep" / "module.py").touch()
    changes = prepared.changes()
    assert sorted((change.what, change.package) for change in changes) == [
        ("added", ""),
        ("added", ""),
        ("removed", "regex"),
    ]
    assert prepared.mended(changes, note=notes.append).changes() == []
    assert not (_site(root) / "evil.pth").exists()
    assert not (_site(root) / "stray").exists()
    assert [note.split(":")[1].split()[0] for note in notes] == ["removing", "reinstalling"]
    _is_whole(root)


def test_a_file_that_was_only_touched_has_not_changed(root: Path, prepared: Prepared, notes: list[str]) -> None:
    path = _site(root) / "six.py"
    path.touch()
    beside = path.with_name("six.copy")
    beside.write_bytes(path.read_bytes())
    beside.replace(path)
    assert prepared.changes() == []
    _is_whole(root)


@pytest.mark.parametrize("version", ["1.15.0", "1.17.0"])
def test_a_package_that_was_exchanged_is_put_back(
    root: Path, prepared: Prepared, notes: list[str], version: str
) -> None:
    command = [uv(), "pip", "install", "--quiet", "--python", str(prepared.python), f"six=={version}", "toolz==0.12.0"]
    subprocess.run(command, check=True)
    changes = prepared.changes()
    assert {"added", "edited", "removed"} == {change.what for change in changes}
    mended = prepared.mended(changes, note=notes.append)
    assert mended.packages == prepared.packages
    _is_whole(root)


def test_metadata_that_was_removed_is_put_back(root: Path, prepared: Prepared, notes: list[str]) -> None:
    (_site(root) / "six-1.16.0.dist-info" / "RECORD").unlink()
    (_site(root) / "regex-2023.12.25.dist-info" / "METADATA").write_text("rubbish", encoding="utf-8")
    _again(root, notes)
    _is_whole(root)


def test_a_package_that_the_lock_does_not_have_is_removed(root: Path, prepared: Prepared, notes: list[str]) -> None:
    command = [uv(), "pip", "install", "--quiet", "--python", str(prepared.python), "toolz==0.12.0"]
    subprocess.run(command, check=True)
    _marker(root).unlink()
    assert "toolz" not in _again(root, notes).packages
    assert "toolz: not locked, 0.12.0 installed" in notes[0]
    _is_whole(root)


def test_what_no_package_has_is_installed_anew(root: Path, prepared: Prepared, notes: list[str]) -> None:
    (root / ".tox" / NAME / "pyvenv.cfg").write_text("include-system-site-packages = true\n", encoding="utf-8")
    _again(root, notes)
    assert "installing anew" in notes[0]
    _is_whole(root)


def test_a_deleted_environment_is_told_and_installed_again(root: Path, prepared: Prepared, notes: list[str]) -> None:
    subprocess.run(["rm", "-rf", root / ".tox" / NAME], check=True)
    with pytest.raises(InterpreterGoneError, match="Somebody deleted the environment"):
        prepared.changes()
    _again(root, notes)
    _is_whole(root)


def test_what_reinstalling_does_not_mend_is_told(
    root: Path, prepared: Prepared, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (_site(root) / "six.py").write_text("", encoding="utf-8")
    changes = prepared.changes()
    with monkeypatch.context() as patched:
        patched.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
        patched.setenv("UV_HTTP_RETRIES", "0")
        with pytest.raises(IndexUnreachableError):
            prepared.mended(changes, note=notes.append)
    assert not _marker(root).exists(), "half a mending is no whole environment"
    _again(root, notes)
    assert "1 files of six missing or cut" in notes[-1]
    _is_whole(root)


# --- interrupted ------------------------------------------------------------------------------------------------------


SLOW = {"UV_LINK_MODE": "copy", "UV_CONCURRENT_INSTALLS": "1"}
MANY_FILES = ("sympy==1.12", "babel==2.14.0", "pytz==2023.3", "networkx==3.2")


@pytest.fixture
def wide(root: Path) -> Path:
    """A checkout with enough files that their installation can be interrupted; they are in the cache already."""
    relock(root, *REQUIREMENTS, *MANY_FILES)
    prepare(root)
    subprocess.run(["rm", "-rf", root / ".tox" / NAME], check=True)
    return root


def _is_linking(root: Path) -> bool:
    return any(root.glob(f".tox/{NAME}/lib/python*/site-packages/sympy/*/*.py"))


def _half_installed(root: Path) -> dict[str, list[str]]:
    """Packages whose metadata is there and whose files are not."""
    folder = root / ".tox" / NAME
    return broken(folder, claims(folder, sites(folder)))


def _uv_at_work(root: Path) -> int | None:
    """The process of uv that installs, if it is under way."""
    found = [pid for pid, command in _at_work(root).items() if command.startswith(f"{uv()} pip install")]
    return found[0] if found else None


def _stopped_half_way(root: Path) -> subprocess.Popen[str]:
    """A harness whose uv stands still where a package's metadata is there and its files are not.

    It is let go on for a moment at a time until then; how it orders files is its own business, so it may take another
    installation.
    """
    for _ in range(10):
        harness = _start(root, **SLOW)
        while harness.poll() is None:
            tool = _uv_at_work(root)
            with contextlib.suppress(ProcessLookupError):  # it came to its end
                while tool is not None:
                    os.kill(tool, signal.SIGSTOP)
                    time.sleep(0.002)
                    if _half_installed(root):
                        return harness
                    os.kill(tool, signal.SIGCONT)
                    time.sleep(0.002)
        harness.communicate()
        subprocess.run(["rm", "-rf", root / ".tox" / NAME], check=True)
    pytest.fail("no installation could be stopped half way")


def test_killed_with_tox_and_uv_while_installing(wide: Path, notes: list[str]) -> None:
    harness = _stopped_half_way(wide)
    working = _at_work(wide)
    for pid in [harness.pid, *working]:
        os.kill(pid, signal.SIGKILL)
    harness.communicate()
    assert any(" pip install " in command for command in working.values()), working
    assert any(" -m tox run " in command for command in working.values()), working
    assert not _marker(wide).exists()
    half = _half_installed(wide)
    assert half, "nothing was cut"

    _again(wide, notes)
    # Where uv stumbles over what is there, all is installed anew; else what is not whole is.
    assert any("not whole, reinstalling" in note or "installing anew" in note for note in notes), (notes, list(half))
    assert _half_installed(wide) == {}
    _is_whole(wide)


def test_whole_metadata_of_cut_packages_deceives_nobody(root: Path, prepared: Prepared, notes: list[str]) -> None:
    """What tox and a look at versions take for installed."""
    _marker(root).unlink()
    for path in sorted((_site(root) / "_pytest").glob("*.py"))[14:]:
        path.unlink()
    (_site(root) / "six.py").write_bytes(b"")
    _again(root, notes)
    assert len(notes) == 1
    assert "not whole, reinstalling pytest, six (" in notes[0]
    _is_whole(root)


_BY_HAND = pytest.mark.long


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=_BY_HAND),
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=_BY_HAND),
        signal.SIGKILL,
    ],
)
def test_the_harness_is_ended_while_it_installs(wide: Path, notes: list[str], number: int) -> None:
    harness = _start(wide, **SLOW)
    _wait(lambda: _is_linking(wide))
    harness.send_signal(number)
    harness.communicate(timeout=30)
    assert harness.returncode == (-number if number == signal.SIGKILL else 3)
    _wait(lambda: not _at_work(wide), within_s=2)
    assert not _marker(wide).exists()
    _again(wide, notes)
    _is_whole(wide)


@_BY_HAND
def test_uv_is_killed_while_it_installs(wide: Path, notes: list[str]) -> None:
    harness = _start(wide, **SLOW)
    _wait(lambda: _is_linking(wide))
    tool = _uv_at_work(wide)
    assert tool is not None
    os.kill(tool, signal.SIGKILL)
    told = _told(harness)
    assert harness.returncode == 3
    assert told[-1]["error"] == ToolBrokenError.__name__
    assert "tox or uv was killed" in told[-1]["told"]
    _again(wide, notes)
    _is_whole(wide)


def test_two_never_install_into_one_environment_at_once(wide: Path) -> None:
    first = _start(wide, **SLOW)
    _wait(lambda: _is_linking(wide))
    second = _start(wide)
    told = [_told(first), _told(second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert [note for note in told[0] if "note" in note] == []
    (waiting,) = [note["note"] for note in told[1] if "note" in note]
    assert f"the environment {NAME} is held by process {first.pid} since " in waiting
    _is_whole(wide)


# --- facts of the pins, wrong input, infrastructure -------------------------------------------------------------------


def _rewrite_lock(root: Path, pin: str) -> None:
    """A lock with one pin more, as somebody with another machine made it."""
    (root / "matrices" / f"{NAME}.in").write_text(f"# python: 3.11\nfilelock\n{pin}\n", encoding="utf-8")
    path = root / "matrices" / "locks" / f"{NAME}.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, pin, ""]), encoding="utf-8")


@pytest.mark.parametrize(
    ("pin", "kind"),
    [
        ("pywin32==306", "NoWheel"),
        ("tensorflow==2.3.0", "NoWheel"),
        ("sklearn==0.0.post12", "BuildFailed"),
        ("six==1.15.0", "NoSolution"),
    ],
)
def test_what_cannot_be_installed_is_a_fact_of_the_pins(root: Path, pin: str, kind: str) -> None:
    _rewrite_lock(root, pin)
    fact = prepare(root)
    assert isinstance(fact, FactOfPins)
    assert (fact.outcome, fact.stage, fact.error_type) == (Outcome.FAILED, Stage.INSTALL, kind)
    assert "://" not in fact.reason
    assert not _marker(root).exists()


def test_what_has_no_solution_is_a_fact_of_the_pins(root: Path) -> None:
    relock(root, "six==1.16.0", "six==1.15.0")
    fact = prepare(root)
    assert isinstance(fact, FactOfPins)
    assert (fact.outcome, fact.stage, fact.error_type) == (Outcome.UNRESOLVABLE, Stage.RESOLVE, "NoSolution")
    assert not (root / ".tox").exists()


def test_a_version_that_is_not_to_be_had_is_wrong_input(root: Path) -> None:
    _rewrite_lock(root, "toolz==99.9")
    with pytest.raises(UsageError, match=r"installing small: toolz==99\.9 is asked for, and the package index"):
        prepare(root)


def test_a_hash_that_differs_is_refused(root: Path) -> None:
    path = root / "matrices" / "locks" / f"{NAME}.txt"
    head, name, rest = path.read_text(encoding="utf-8").partition("six==1.16.0")
    wrong = " \\\n    --hash=sha256:" + "0" * 64 + "\n"
    path.write_text(head + name + wrong, encoding="utf-8")
    with pytest.raises(UsageError, match=r"another six==1\.16\.0 than the lock: their hashes differ"):
        prepare(root)
    assert rest
    assert not _marker(root).exists()


@pytest.mark.parametrize("environ", [{"UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple"}, {"UV_OFFLINE": "1"}])
def test_a_package_index_that_is_not_reached_is_no_result(root: Path, environ: dict[str, str]) -> None:
    harness = _start(root, UV_HTTP_RETRIES="0", UV_NO_CACHE="1", **environ)
    (told,) = _told(harness)
    assert harness.returncode == 3
    assert told["error"] == IndexUnreachableError.__name__
    assert "127.0.0.1" not in told["told"]
    _again(root, [])
    _is_whole(root)


def test_a_disk_that_is_full_is_no_result(root: Path, notes: list[str]) -> None:
    for size_kb in (64, 400, 1500):
        with _Mounted(root / ".tox", f"size={size_kb}k"), pytest.raises(DiskFullError, match="Make room"):
            prepare(root)
    _again(root, notes)
    _is_whole(root)


def test_a_folder_that_may_not_be_written_to_is_told(root: Path) -> None:
    for folder in (".tox", ".harness"):
        with _Mounted(root / folder, "ro"), pytest.raises(NotWritableError, match="Read-only file system"):
            prepare(root)


class _Mounted:
    """A file system of the test's own at a folder; skipped where this user may not mount one."""

    def __init__(self, folder: Path, options: str) -> None:
        self.folder, self.options = folder, options

    def __enter__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", self.options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this user may not mount a file system: {done.stderr.strip()}")

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


def test_a_lock_without_what_the_bench_needs_is_told(root: Path) -> None:
    (root / "harness" / "bench" / "requirements.in").write_text("", encoding="utf-8")
    path = root / "matrices" / "locks" / f"{NAME}.txt"
    path.unlink()
    relock(root, "six==1.16.0")
    with pytest.raises(UsageError, match=r"lacks what the bench needs: .*'pytest'.*Run `harness lock small`"):
        prepare(root)


def test_what_cannot_be_mended_twice_is_told(
    root: Path, prepared: Prepared, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody goes on editing while it is mended."""
    path = _site(root) / "six.py"
    stop = threading.Event()

    def edit() -> None:
        while not stop.is_set():
            path.write_text("", encoding="utf-8")
            time.sleep(0.001)

    path.write_text("", encoding="utf-8")
    changes = prepared.changes()
    editing = threading.Thread(target=edit)
    editing.start()
    try:
        with pytest.raises(EnvironmentChangedError):
            prepared.mended(changes, note=notes.append)
    finally:
        stop.set()
        editing.join()
    _again(root, notes)
    _is_whole(root)
