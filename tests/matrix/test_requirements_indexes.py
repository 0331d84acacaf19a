"""Requirements with several indexes, one of which has a few old files of what another one is for."""

from __future__ import annotations

import functools
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.bench.environment import pins_of
from harness.bench.errors import UsageError
from harness.matrix import tooling
from harness.matrix.combination import read
from harness.matrix.environment import python_of
from harness.matrix.installing import holding, prepare_environment
from harness.matrix.locks import BENCH_REQUIREMENTS, lock, read_lock
from harness.matrix.requirements.closing import Wish
from harness.matrix.requirements.keeping import Kept, take
from tests.matrix.wheels import wheel


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called
        del format, args


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of two package indexes, `main` and `second`; the second has an old numpy beside its own package."""
    folder = tmp_path_factory.mktemp("indexes")
    for index, name, version in (
        ("main", "numpy", "1.26.4"),
        ("main", "libpkg", "0.1"),
        ("main", "pytest", "8.3.0"),
        ("second", "numpy", "1.24.0"),
        ("second", "libpkg", "1.0"),
    ):
        wheel(folder / index / name, name, version, *(["numpy"] if name == "libpkg" else []))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with nothing in it."""
    monkeypatch.delenv("UV_INDEX_STRATEGY", raising=False)
    bench = tmp_path / BENCH_REQUIREMENTS
    bench.parent.mkdir(parents=True)
    bench.write_text("pytest>=8\n", encoding="utf-8")
    return tmp_path


_PINS = {"numpy": "1.26.4", "libpkg": "1.0", "pytest": "8.3.0"}
_PROJECT = """\
[project]
name = "app"
version = "0"
requires-python = ">=3.11"
dependencies = ["libpkg", "numpy==1.26.4"]
[[tool.uv.index]]
name = "main"
url = "{indexes}/main/"
default = true
[[tool.uv.index]]
name = "second"
url = "{indexes}/second/"
explicit = true
[tool.uv.sources]
libpkg = {{index = "second"}}
"""


def _take(root: Path, file: str) -> Kept:
    wish = Wish(modules=frozenset({"numpy", "libpkg"}))
    return take(root, str(root / file), wish, python="3.11", note=lambda _: None)


def _text(kept: Kept) -> str:
    return read_lock(kept.root, read(kept.root, kept.name)).text


def test_the_best_of_all_indexes_is_taken_of_a_requirements_file_as_pip_does(root: Path, indexes: str) -> None:
    lines = f"--index-url {indexes}/main/\n--extra-index-url {indexes}/second/\nlibpkg\nnumpy==1.26.4\n"
    (root / "reqs.txt").write_text(lines, encoding="utf-8")
    kept = _take(root, "reqs.txt")
    assert pins_of(_text(kept)) == _PINS
    (root / "matrices").mkdir()
    (root / "matrices" / "mine.in").write_text(f"# python: 3.11\n{lines}", encoding="utf-8")
    assert pins_of(lock(root, read(root, "mine")).text) == _PINS


def test_each_package_is_of_the_index_that_a_project_names_for_it(root: Path, indexes: str) -> None:
    (root / "pyproject.toml").write_text(_PROJECT.format(indexes=indexes), encoding="utf-8")
    project = _text(_take(root, "pyproject.toml"))
    assert pins_of(project) == _PINS
    subprocess.run([tooling.uv(), "lock"], cwd=root, check=True, capture_output=True)
    locked = _text(_take(root, "uv.lock"))
    assert pins_of(locked) == _PINS
    hashes = re.compile(r"--hash=\S+")
    assert sorted(hashes.findall(locked)) == sorted(hashes.findall(project))


def test_what_was_found_in_any_index_is_installed(root: Path, indexes: str) -> None:
    lines = f"--index-url {indexes}/main/\n--extra-index-url {indexes}/second/\nlibpkg\nnumpy==1.26.4\n"
    (root / "reqs.txt").write_text(lines, encoding="utf-8")
    kept = _take(root, "reqs.txt")
    found, log = read_lock(root, read(root, kept.name)), root / "install.log"
    with holding(root, kept.name, print), pytest.raises(UsageError, match="lacks what the bench needs"):
        # The pytest of these indexes is an empty one.
        prepare_environment(root, kept.name, found, log=log, note=print, busy=print)
    command = [tooling.uv(), "pip", "list", "--format=freeze", "--python", str(python_of(root, kept.name))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert pins_of(done.stdout) == _PINS
