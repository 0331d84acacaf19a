"""What tests of attempts share: a checkout, an interpreter with all that the bench needs, a user's own parts."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import shutil
import venv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.attempts import store
from harness.bench.attempt import Attempt
from harness.bench.group import descendants, processes
from harness.bench.kept import ARTIFACT_FILE, MIB, KeptArtifact, content_digest
from harness.bench.plan import Cell
from harness.bench.record import write_json
from harness.bench.waiting import Waiting

if TYPE_CHECKING:
    from tests.attempts.worlds import World

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = ROOT / "tests" / "bench" / "stand_in"

MODEL = """
from harness.bench import Model, uniform


def build():
    import torch

    return torch.nn.Linear(8, 4)


MODEL = Model(
    summary="a linear layer",
    family="test",
    build=build,
    example=lambda: {"x": uniform((2, 8))},
    probes={"other": lambda: {"x": uniform((2, WIDTH), seed=1)}},
    dynamic={"x": {1: "width"}},
)
"""

STEP = """
from harness.bench import Artifact, Step


def run(context, source):
    import os, subprocess, sys, time
    BODY
    path = context.folder / "thing"
    path.write_text("thing")
    return Artifact("thing", path)


STEP = Step(summary="", run=run, produces="thing")
"""

STRATEGY = """
from harness.bench import Strategy

STRATEGY = Strategy(summary="", steps=("NAME",), runtime="reciting", shapes="static")
"""

RUNTIME = """
from harness.bench import NotApplicable, Runtime


def load(artifact, device, threads, build):
    raise NotApplicable("nothing to recite with")


RUNTIME = Runtime(summary="", serves="thing", load=load, imports=())
"""


class Observer:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(
        self,
        combination: str,
        planned: int,
        done: Mapping[tuple[str, str], str],
        waiting: AbstractSet[tuple[str, str]],
    ) -> None:
        counts = dict(Counter(done.values()))
        self.told.append(f"begin {combination} {planned} {counts}" + (f" {len(waiting)}" if waiting else ""))

    def started(self, model: str, strategy: str) -> None:
        self.told.append(f"started {model} {strategy}")

    def waiting(self, model: str, strategy: str) -> None:
        self.told.append(f"waiting {model} {strategy}")

    def timing(self, model: str, strategy: str) -> None:
        self.told.append(f"timing {model} {strategy}")

    def ended(self, model: str, strategy: str, outcome: str, stage: str) -> None:
        self.told.append(f"ended {model} {strategy} {outcome} {stage}")

    def stopped(self, model: str, strategy: str) -> None:
        self.told.append(f"stopped {model} {strategy}")

    def note(self, text: str) -> None:
        self.told.append(text)

    def busy(self, text: str) -> None:
        self.told.append(text)


def _needed(names: Iterable[str]) -> Iterator[importlib.metadata.Distribution]:
    """The distributions of these tests' own environment that are called so, and those that they need."""
    waiting, met = list(names), set[str]()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in met:
            met.add(name)
            found = importlib.metadata.distribution(name)
            yield found
            needs = map(Requirement, found.requires or ())
            waiting += [each.name for each in needs if each.marker is None or each.marker.evaluate({"extra": ""})]


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # it is another file system
        shutil.copy2(source, target)


def make_ambient(folder: Path) -> Path:
    """An interpreter with all that the bench needs, and a stand-in for torch.

    It has no more than that, since a run reads the contents of all packages of an interpreter that is not pinned.
    """
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    lines = (ROOT / "harness" / "bench" / "requirements.in").read_text(encoding="utf-8").splitlines()
    needed = [Requirement(line).name for line in lines if not line.startswith("#")]
    for distribution in _needed([*needed, "numpy"]):
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            source = Path(str(distribution.locate_file(top)))
            if source.is_dir():
                shutil.copytree(source, site / top, copy_function=_link)
            else:
                _link(str(source), str(site / top))
    (site / "ambient.pth").write_text(f"{STAND_IN}\n{ROOT}\n", encoding="utf-8")
    return folder / "bin" / "python"


def add_package(python: Path) -> Path:
    """Install a package of one file into an environment, and return the file."""
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    info = site / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n", encoding="utf-8")
    (info / "RECORD").write_text("theirs.py,,\ntheirs-1.0.dist-info/METADATA,,\n", encoding="utf-8")
    (site / "theirs.py").write_text("VALUE = 1\n", encoding="utf-8")
    return site / "theirs.py"


@pytest.fixture(scope="module")
def ambient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such an interpreter, which no test may damage."""
    return make_ambient(tmp_path_factory.mktemp("ambient"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A repository with a table of one run. Tests leave it as it is."""
    from tests.attempts.worlds import make_world  # which imports this

    return make_world(tmp_path_factory.mktemp("base"))


@pytest.fixture
def world(base: World, tmp_path: Path) -> Iterator[World]:
    """The same for a test that makes further tables, which go with it."""
    from tests.attempts.worlds import replace_world

    kept = (base.root / "results", base.root / ".harness")
    for folder in kept:
        shutil.copytree(folder, tmp_path / folder.name)
    yield replace_world(base)
    for folder in kept:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / folder.name, folder)


def add_route(plugins: Path, name: str, body: str = "pass") -> None:
    """A strategy of one step that runs `body`; its artifact is served by nothing."""
    parts = {"steps": STEP.replace("BODY", body), "strategies": STRATEGY.replace("NAME", name)}
    for part, text in {**parts, "runtimes": RUNTIME}.items():
        (plugins / part).mkdir(parents=True, exist_ok=True)
        stem = "reciting" if part == "runtimes" else name.replace("-", "_")
        (plugins / part / f"{stem}.py").write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a user's models and plugin folder beside it.

    One is good, the forward of one rejects its probe (`wrong`), and one's probe contradicts its example (`misfit`).
    """
    folder = tmp_path / "checkout"
    (folder / "matrices").mkdir(parents=True)
    (folder / "matrices" / "nightly.toml").write_text(
        'combinations = ["small"]\ndevices = ["cpu"]\n[policy]\nmeasure_s = 0.01\nthreads = 1\ntimeout_s = 20.0\n',
        encoding="utf-8",
    )
    (folder / "matrices" / "small.in").write_text("# python: 3.11\nsix==1.16.0\n", encoding="utf-8")
    for name, width in (("good", "8"), ("wrong", "9")):
        (tmp_path / f"{name}.py").write_text(MODEL.replace("WIDTH", width), encoding="utf-8")
    misfit = MODEL.replace('{"x": uniform((2, WIDTH)', '{"y": uniform((2, 8)')
    (tmp_path / "misfit.py").write_text(misfit, encoding="utf-8")
    add_route(tmp_path / "plugins", "recite")
    return folder


def leave_waiting(attempt: Attempt, cell: Cell) -> None:
    """Leave what a cell leaves that came through all but timing; nothing is told of it."""
    folder = attempt.waiting / cell.slug
    folder.mkdir(parents=True)
    (folder / "thing").write_bytes(b"x" * 2**20)
    Waiting(columns={}, details={}, artifact={}, converted=None).write(folder)


SLEEP_S = f"97531.{os.getpid()}"
"""How long a daemon sleeps: a time of these tests' own, since others may be under way on this machine."""


def running(text: str, *, under: int | None = None) -> list[int]:
    """The processes whose command line holds `text`, of all or of those that descend from the process `under`."""
    table = processes()
    found = []
    for pid in table if under is None else descendants(table, [under]):
        try:
            line = Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if text in line and pid != os.getpid():
            found.append(pid)
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB; skipped where this user may not mount one."""
    import subprocess

    folder = tmp_path / "small-disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this user may not mount a file system: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


MOMENTS = itertools.count(1_000_000)
"""Times of last use, each later than any before it."""


def make_entry(root: Path, key: str, size: int = MIB) -> Path:
    """An entry of the store of artifacts, which was used later than any before it."""
    folder = store.folder_of(root) / key
    unit = folder / "convert" / "model.onnx"
    unit.parent.mkdir(parents=True)
    unit.write_bytes(os.urandom(size))
    artifact = KeptArtifact(
        kind="onnx",
        path="convert/model.onnx",
        unit="convert/model.onnx",
        digest=content_digest(unit),
        artifact_bytes=size,
        facts={},
        input_names=("x",),
        weights_digest="w",
        model="m",
        strategy="s",
        python="3.11.7",
        packages={},
    )
    write_json(folder / ARTIFACT_FILE, asdict(artifact))
    write_json(folder / store.ENTRY_FILE, {"version": 1, "files": {}})
    moment = next(MOMENTS)
    os.utime(folder / store.ENTRY_FILE, (moment, moment))
    return folder
