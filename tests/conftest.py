"""What tests of all kinds share: the wheel of this checkout, and an environment that it is installed in.

Those of the zoo run in pinned environments, so that this imports nothing of the harness's own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

with contextlib.suppress(ImportError):  # in a pinned environment
    from hypothesis import settings

    # How long an example takes says how busy the machine is.
    settings.register_profile("harness", deadline=None)
    settings.load_profile("harness")

ROOT = Path(__file__).resolve().parents[1]


_TORCH20 = "the checkout's torch2.0"
_TORCH21 = "the checkout's torch2.1"
_RAY = "Ray"

_SCOPES = {
    "test_bench_alone.py": _TORCH20,
    "test_bumping.py": _TORCH20,
    "test_changed.py": _TORCH20,
    "test_end_to_end.py": _TORCH20,
    "test_faults.py": _TORCH20,
    "test_real_side_by_side.py": _TORCH20,
    "test_users_code.py": _TORCH20,
    # One cluster at a time.
    "test_cluster.py": _RAY,
    "test_reserved.py": _RAY,
    "test_reserving.py": _RAY,
    # They make environments of their own, and use none of the checkout's.
    **{
        name: name
        for name in (
            "test_doctor.py",
            "test_faults_installing.py",
            "test_faults_interrupted.py",
            "test_faults_pins.py",
            "test_node_environments.py",
            "test_requirements.py",
            "test_space.py",
        )
    },
}
"""What each file of real tests has to itself, where that is not the checkout's torch2.1.

A test there breaks that environment for a while, so that all others which start something in it are in its scope. One
that runs both, beside those of the other scope, waits while torch2.0 is held, as anybody would.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--remake` writes the files that whole outputs are held against, in the place of comparing them."""
    parser.addoption("--remake", action="store_true", help="write golden files anew, and look at the difference")


@pytest.hookimpl(optionalhook=True)  # a pinned environment has no xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadscope`, one process gets all tests of an environment, or of Ray, in their order.

    Marks of groups would say so, and xdist 3.8 does not read them under pytest 9.2.
    """
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByEnvironment(LoadScopeScheduling):  # type: ignore[misc,unused-ignore]
        def _split_scope(self, nodeid: str) -> str:
            return _SCOPES.get(nodeid.partition("::")[0].rpartition("/")[2], _TORCH21)

    return ByEnvironment(config, log)


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Whoever starts these tests by `nohup`, or in the background of a script, has them ignore what others send."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def nobody_asks_for_columns() -> None:
    """What is printed to no terminal is whole, unless somebody asks: xdist does, of its own, for its workers."""
    os.environ.pop("COLUMNS", None)


@pytest.fixture(autouse=True)
def path_is_put_back() -> Iterator[None]:
    """Ray puts packages of its own on the path of whoever imports it, and later tests would find these installed."""
    before = list(sys.path)
    yield
    sys.path[:] = before


def without_checkout() -> dict[str, str]:
    """The variables without those by which this checkout would be found."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    from uv import find_uv_bin

    folder = tmp_path_factory.mktemp("wheel")
    command = [find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, env=without_checkout(), timeout=300)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that the wheel is installed in."""
    from uv import find_uv_bin

    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run(
        [find_uv_bin(), "venv", "--quiet", "-p", sys.executable, str(folder)], check=True, env=without_checkout()
    )
    python = folder / "bin" / "python"
    command = [find_uv_bin(), "pip", "install", "--quiet", "-p", str(python), str(wheel)]
    subprocess.run(command, check=True, env=without_checkout(), timeout=300)
    return python


@pytest.fixture
def full_device(tmp_path: Path) -> Path:
    """A device that takes no byte, as /dev/full, and that a test may lose."""
    path = tmp_path / "device" / "full"
    path.parent.mkdir()
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        path.open("w").close()
    except PermissionError:
        pytest.skip("only root makes a device, where the file system has any")
    return path
