"""Requirements as people have them, from the files to a verdict, by a wheel in a repository that has nothing of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness.matrix import tooling
from harness.matrix.combination import read
from harness.matrix.environment import Prepared
from harness.matrix.installing import holding, prepare_environment
from harness.matrix.locks import BENCH_REQUIREMENTS, read_lock
from harness.matrix.requirements.closing import Wish
from harness.matrix.requirements.keeping import take
from tests.conftest import without_checkout
from tests.matrix.wheels import project, wheel
from tests.real.checkouts import make_checkout, prepare

pytestmark = pytest.mark.real

MODEL = """\
from harness.bench import Model, uniform


def build():
    from acme import Block

    return Block()


def twin(state):
    raise AssertionError("there is no TensorFlow here")


MODEL = Model(
    summary="ours", family="own", build=build, twin=twin, example=lambda: {"x": uniform((2, 4, 4))}, probes={}
)
"""
BLOCK = """\
import einops
import torch


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(16, 8)

    def forward(self, x):
        return torch.tanh(self.linear(einops.rearrange(x, "b c d -> b (c d)")))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a package, a model that imports it, and requirements: hashed ones, fastapi, no TensorFlow."""
    root = tmp_path_factory.mktemp("repository")
    project(root, "acme", code=BLOCK)
    (root / "models").mkdir()
    (root / "models" / "scorer.py").write_text(MODEL, encoding="utf-8")
    (root / "base.in").write_text("numpy<2\nfastapi==0.110.0\neinops==0.7.0\npytest==7.4.4\n", encoding="utf-8")
    command = ["pip", "compile", "-q", "--python-version=3.11", "--generate-hashes", "base.in", "-o", "base.txt"]
    subprocess.run([tooling.uv(), *command], cwd=root, check=True)
    rest = "-e .\n-r base.txt\nonnx==1.14.0\nonnxruntime==1.15.1\n"
    (root / "old.txt").write_text(f"{rest}torch==2.0.1\n", encoding="utf-8")
    (root / "new.txt").write_text(f"{rest}torch==2.1.0\n", encoding="utf-8")
    (root / "none.txt").write_text(f"{rest}torch==2.1.0\ntorchvision==0.15.2\n", encoding="utf-8")
    return root


def _gate(installed: Path, root: Path, candidate: str) -> subprocess.CompletedProcess[str]:
    command = [str(installed.with_name("harness")), "gate", "--base-requirements=old.txt", "--device=cpu"]
    command += [f"--candidate-requirements={candidate}", "--models=models", "--python-version=3.11"]
    command += [f"--strategies={name}" for name in ("native", "onnx-torchscript", "manual-recreation")]
    environ = without_checkout()
    return subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False, timeout=600)


def test_one_command_leads_from_two_files_of_requirements_to_a_verdict(installed: Path, repository: Path) -> None:
    done = _gate(installed, repository, "none.txt")
    assert done.returncode == 1, done.stdout + done.stderr
    told = r"^\w+\.txt: (\w+-[0-9a-f]{8}), on Python 3\.11 \(as --python-version says\)$"
    base, candidate = re.findall(told, done.stdout, re.MULTILINE)
    assert (base[:4], candidate[:5]) == ("old-", "none-")
    assert re.search(rf"^{base}: pytest 7\.4\.4 yields to \S+: it is a test tool", done.stdout, re.MULTILINE)
    left_out = re.search(rf"^{base}: left out, since no cell needs them: (.*)$", done.stdout, re.MULTILINE)
    assert left_out is not None
    assert "fastapi" in left_out[1]
    assert "einops" not in left_out[1], "the package of theirs that the model imports needs it"
    lock = (repository / ".harness" / "environments" / base / "lock.txt").read_text(encoding="utf-8")
    assert "\n-e .\n" in lock
    assert str(repository) not in lock
    assert "2 passed, 1 not applicable" in done.stdout
    assert "1 cell: tensorflow is not among these requirements" in done.stdout
    assert "do not merge" in done.stdout
    (inside,) = installed.parents[1].glob("lib/*/site-packages/harness/inside")
    assert sorted(path.name for path in inside.iterdir()) == ["harness", "matrices", "model_zoo"], (
        "nothing is left there"
    )
    assert "NoSolution" in done.stdout


@pytest.mark.long
def test_what_was_run_of_one_side_is_taken_and_not_run_again(installed: Path, repository: Path) -> None:
    done = _gate(installed, repository, "new.txt")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "may merge: nothing is worse among 3 cells, which rests on 2 cells of 1 model" in done.stdout
    assert "torch 2.0.1 -> 2.1.0" in done.stdout
    again = _gate(installed, repository, "new.txt")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count(": taken from the table ") == 2
    assert "installing" not in again.stdout


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder of wheels beside the package index."""
    wheel(tmp_path / "wheels", "conversion-fake", "1.2+cpu")
    wheel(tmp_path / "wheels", "conversion-other", "3.0")
    return tmp_path / "wheels"


def test_local_versions_files_and_packages_of_ones_own_are_locked_installed_and_verified(
    tmp_path: Path, wheels: Path
) -> None:
    root = tmp_path / "root"
    project(root / "pkg", "mypkg")
    lines = f"-f {wheels}\n-e ./pkg\nconversion-fake==1.2+cpu\n{wheels / 'conversion_other-3.0-py3-none-any.whl'}\n"
    (root / "reqs.txt").write_text(lines, encoding="utf-8")
    wish = Wish(modules=frozenset({"conversion_fake"}))
    for code in ("VALUE = 1\n", "VALUE = 2\n"):
        (root / "pkg" / "mypkg" / "__init__.py").write_text(code, encoding="utf-8")
        kept = take(root, str(root / "reqs.txt"), wish, python="3.11", note=print)
        lock = read_lock(root, read(root, kept.name))
        with holding(root, kept.name, print):
            log = root / ".harness" / "install.log"
            prepared = prepare_environment(root, kept.name, lock, log=log, note=print, busy=print)
        assert isinstance(prepared, Prepared), prepared
        assert prepared.packages["conversion-fake"] == "1.2+cpu"
        assert {"conversion-other", "mypkg", "pytest"} <= prepared.packages.keys()
        assert prepared.python.is_relative_to(root / ".harness" / "environments" / kept.name)
        command = [str(prepared.python), "-c", "import mypkg; print(mypkg.VALUE)"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert told == code.removeprefix("VALUE = ")


def test_a_combination_in_matrices_may_have_them_as_well(tmp_path: Path, wheels: Path) -> None:
    project(tmp_path / "root" / "pkg", "mypkg")
    requirements = [f"--find-links {wheels}", "conversion-fake==1.2+cpu", "-e ./pkg"]
    root = make_checkout(tmp_path / "root", *requirements)
    lock = read_lock(root, read(root, "small"))
    assert "\n--find-links ../../../wheels\n" in lock.text
    prepared = prepare(root)
    assert isinstance(prepared, Prepared), prepared
    assert (prepared.packages["conversion-fake"], prepared.packages["mypkg"]) == ("1.2+cpu", "0.1")
    assert (root / BENCH_REQUIREMENTS).is_file()
