"""The exit code is the verdict's own, whatever becomes of output, locale and disk; the command runs as a process."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.bench.errors import DiskFullError, HarnessError, NotWritableError, UsageError
from harness.cli import cli, exits, reading
from harness.tables.writing import write_table
from tests.tables.samples import failed, passed, table

ROOT = Path(__file__).resolve().parents[1]

CELLS = (passed("resnet18", "native"), passed("lstm", "native"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with tables of every verdict: `same` and `worse` and `nothing` against `base`."""
    folder = tmp_path_factory.mktemp("outlets") / "checkout"
    (folder / "matrices" / "locks").mkdir(parents=True)
    for name in ("small2.0", "small2.1"):
        (folder / "matrices" / f"{name}.in").write_text("# python: 3.11\nsix==1.16.0\n", encoding="utf-8")
    (folder / "matrices" / "nightly.toml").write_text('combinations = ["small2.1"]\n', encoding="utf-8")
    requirements = folder / "harness" / "bench" / "requirements.in"
    requirements.parent.mkdir(parents=True)
    requirements.write_text("iniconfig\n", encoding="utf-8")
    broken = (failed("resnet18", "native", error="→ größer"), passed("lstm", "native"))
    nothing = [failed(each.model, "native") for each in CELLS]
    for name, records in (("base", CELLS), ("same", CELLS), ("worse", broken), ("nothing", nothing)):
        write_table(folder / "results", table(*records, combination=name))
    return folder


def shell(
    root: Path, script: str, *, environ: Mapping[str, str] | None = None, wrapped: Sequence[str] = ()
) -> subprocess.CompletedProcess[bytes]:
    """A bash script in which `harness` is the command, and a pipe's exit code that of its first part that fails."""
    harness = f'harness() {{ "{sys.executable}" -m harness.cli --root "{root}" "$@"; }}; set -o pipefail; '
    whole = {**(os.environ if environ is None else environ), "PYTHONPATH": str(ROOT)}
    command = [*wrapped, "bash", "-c", harness + script]
    return subprocess.run(command, cwd="/", env=whole, capture_output=True, check=False, timeout=120)


VERDICTS = {"gate base same": 0, "gate base worse": 1, "gate nothing same": 3, "gate base nowhere": 2}
WITHOUT = {"compare base worse": 0, "show worse --markdown": 0, "plan small2.1": 0, "--help": 0}
GONE = ("| true", "| head -1", ">&- 2>&- <&-")


@pytest.mark.parametrize(
    ("command", "code", "endings"),
    [
        *((command, code, GONE) for command, code in VERDICTS.items()),
        ("gate base worse --markdown", 1, GONE),
        ("gate base worse", 1, ("2> >(true)", ">&-")),
        ("show nowhere", 2, ("2> >(true)", "2>&-")),
        *((command, code, GONE[:1]) for command, code in WITHOUT.items()),
    ],
)
def test_a_reader_that_has_gone_changes_no_exit_code(
    root: Path, command: str, code: int, endings: Sequence[str]
) -> None:
    for ending in endings:
        done = shell(root, f"harness {command} {ending}")
        assert done.returncode == code, (ending, done.stderr.decode())
        assert bool(done.stderr) == (code == 2 and "2>" not in ending), (ending, done.stderr.decode())


def test_a_code_survives_while_lines_are_printed(root: Path) -> None:
    # Each line meets the reader that has gone, and not only the flush at the end.
    for command, code in (("gate base worse", 1), ("gate base same --markdown", 0)):
        assert shell(root, f"PYTHONUNBUFFERED=1 harness {command} | true").returncode == code


def test_a_descriptor_that_was_closed_is_no_file_of_ours(root: Path) -> None:
    # Its number would be free for the first file that is opened, and that one would hold what is printed.
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert shell(root, "harness gate base worse >&- 2>&-").returncode == 1
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["gate base same", "gate base worse --markdown"])
def test_output_that_cannot_be_written_is_no_silent_success(root: Path, command: str) -> None:
    done = shell(root, f"harness {command} > /dev/full")
    assert done.returncode == 3
    assert b"standard output: no space is left there" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C", "HOME": "/nonexistent", "TERM": "no-such-terminal", "TMPDIR": "/nonexistent"},
        {"COLUMNS": "0", "HOME": "", "TERM": "dumb"},
        {"COLUMNS": "1"},
        {"COLUMNS": "1000", "FORCE_COLOR": "1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["gate base worse", "gate base worse --markdown"])
def test_any_environment_will_do(root: Path, environ: dict[str, str], command: str) -> None:
    # Nothing else is set: no HOME, no TERM, no LANG.
    done = shell(root, f"harness {command}", environ={"PATH": os.environ["PATH"], **environ})
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"resnet18" in done.stdout


def test_what_an_encoding_lacks_is_replaced(root: Path) -> None:
    done = shell(root, "PYTHONIOENCODING=ascii harness show worse")
    assert b"? gr??er" in done.stdout
    assert "→ größer".encode() in shell(root, "PYTHONIOENCODING=utf-8 harness show worse").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (r"plan --models $'\xff.py'", r"\udcff.py: this name is no UTF-8. Rename the file"),
        (r"run small2.1 --models $'\xff.py'", r"\udcff.py: this name is no UTF-8. Rename the file"),
        (r"--root $'\xff' plan", r"\udcff: this name is no UTF-8"),
        (r"show $'a\nb'", "no table of"),
        (r"show $'\e[31m'", "no table of"),
        (r"show a $'\e]0;title\a\u202e'", "Got unexpected extra argument"),
        (r"run --name $'a\nb' --python /bin/sh", "cannot name a folder of results"),
        ("show $(printf 'a%.0s' {1..5000})", "the name is too long for a file"),
        ("show ''", ""),
        ("", "Usage: "),
    ],
)
def test_an_odd_argument_is_refused(root: Path, arguments: str, told: str) -> None:
    done = shell(root, f"harness {arguments}")
    text = done.stderr.decode()
    assert done.returncode == 2, text
    assert told in text
    assert "Traceback" not in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_a_model_file_in_a_locale_that_lacks_its_name_is_no_wrong_use(root: Path) -> None:
    script = r"PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 LC_ALL=C harness show $'gr\xc3\xb6sse'"
    assert "no UTF-8" not in shell(root, script).stderr.decode()


READ_ONLY = "mount --bind {root} {root} && mount -o remount,ro,bind {root}"
FULL = "mkdir {root}/.harness && mount -t tmpfs -o size=64k none {root}/.harness"
FULL += "; head -c 1M /dev/zero > {root}/.harness/full 2> /dev/null"

RUN = f"harness run --python {sys.executable} --models lstm --strategies native --device cpu"


def _mounted(root: Path, mount: str, script: str) -> subprocess.CompletedProcess[bytes]:
    """A script in a mount namespace of its own, so that nothing is left mounted whatever happens."""
    return shell(root, f"{mount.format(root=root)}; {script}", wrapped=("unshare", "--mount"))


def _can_mount() -> bool:
    if os.name != "posix" or shutil.which("unshare") is None:
        return False
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


needs_mount = pytest.mark.skipif(not _can_mount(), reason="mounting needs root")


@pytest.fixture
def writable(root: Path, tmp_path: Path) -> Path:
    """A copy of the checkout, for a test that changes it."""
    return Path(shutil.copytree(root, tmp_path / "checkout"))


@needs_mount
def test_a_read_only_checkout_is_told(writable: Path) -> None:
    done = _mounted(writable, READ_ONLY, RUN)
    text = done.stderr.decode()
    assert done.returncode == 3, text
    assert "Read-only file system" in text
    assert NotWritableError.remedy in text
    assert "Traceback" not in text


@needs_mount
def test_reading_needs_no_place_to_write(writable: Path) -> None:
    done = _mounted(writable, READ_ONLY, "harness gate base worse")
    assert (done.returncode, done.stderr) == (1, b"")


@needs_mount
def test_a_full_disk_is_told(writable: Path) -> None:
    done = _mounted(writable, FULL, RUN)
    text = done.stderr.decode()
    assert done.returncode == 3, text
    assert "no space" in text.lower()
    assert DiskFullError.remedy in text
    assert "Traceback" not in text


def test_a_file_where_a_folder_must_be_is_told(writable: Path) -> None:
    (writable / ".harness").write_text("not a folder\n", encoding="utf-8")
    done = shell(writable, RUN)
    text = done.stderr.decode()
    assert done.returncode == 3, text
    assert ".harness is a file, and the harness needs a folder there" in text
    assert "Traceback" not in text


@pytest.fixture
def silent_index() -> Iterator[str]:
    """A package index that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_with_3_and_says_so(
    writable: Path, silent_index: str, number: signal.Signals
) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "UV_DEFAULT_INDEX": silent_index, "UV_NO_CACHE": "1"}
    command = [sys.executable, "-m", "harness.cli", "--root", str(writable), "lock", "small2.1"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 30
        while not _children(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        children = _children(process.pid)
        assert children, "the resolver was not started"
        time.sleep(0.3)
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 3, told.decode()
    assert "Run the same command again" in told.decode()
    assert ("interrupted" if number is signal.SIGINT else number.name) in told.decode()
    assert b"Traceback" not in told
    deadline = time.monotonic() + 10
    while any(map(_lives, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in children if _lives(pid)]
    assert not list((writable / "matrices" / "locks").iterdir())


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    except OSError:
        return []


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x/y"), DiskFullError, "x/y: no space is left there."),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "x"), DiskFullError, "x: no space is left there."),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFullError, "a file: no space is left there."),
        (OSError(errno.EROFS, "Read-only file system", "x"), NotWritableError, "x: Read-only file system."),
        (OSError(errno.EACCES, "Permission denied", "x"), NotWritableError, "x: Permission denied."),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), UsageError, "x…: the name is too long"),
        (OSError(errno.ENOTDIR, "Not a directory", f"{__file__}/x"), NotWritableError, "is a file, and the harness"),
        (OSError(errno.EEXIST, "File exists", __file__), NotWritableError, "is a file, and the harness"),
        (
            OSError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            NotWritableError,
            "see TMPDIR",
        ),
    ],
)
def test_errors_of_the_system_are_told_by_what_to_do(error: OSError, kind: type[HarnessError], told: str) -> None:
    found = exits.error_of_system(error)
    assert type(found) is kind
    assert told in str(found)
    assert str(found).endswith(kind.remedy)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EEXIST, errno.EPIPE, errno.EIO, errno.EMFILE, errno.EISDIR])
def test_other_errors_of_the_system_stay_bugs(number: int) -> None:
    assert exits.error_of_system(OSError(number, os.strerror(number), "/nonexistent/x")) is None


class _NobodyForesawError(Exception):
    pass


@pytest.mark.parametrize(
    "error",
    [
        _NobodyForesawError("\x1b[31m@x\u202e"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        EOFError(),
        RecursionError(),
        MemoryError(),
        StopIteration(),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_is_told_and_is_never_a_verdict(root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(reading, "find_table", broken)
    done = CliRunner().invoke(cli, ["--root", str(root), "gate", "base", "same"])
    assert done.exit_code == 3
    assert type(error).__name__ in done.stderr
    assert "this is a bug in the harness" in done.stderr
    assert all(line.isprintable() for line in done.stderr.split("\n"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), HarnessError("x."), UsageError("y.")], ids=repr)
def test_what_a_person_can_mend_is_told_without_a_traceback(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def ended(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(reading, "find_table", ended)
    done = CliRunner().invoke(cli, ["--root", str(root), "gate", "base", "same"])
    assert done.exit_code == (2 if isinstance(error, UsageError) else 3)
    assert done.stderr.lstrip().startswith("harness: ")
    assert "Traceback" not in done.stderr
