"""What travels to a node, and the paths of either side on the other."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.errors import UsageError
from harness.bench.own_code import digest_of
from harness.bench.plan import Plan
from harness.executors import parcel as module
from harness.executors.parcel import Parcel, pack, parcel_of

MODEL = "from harness.bench import Model\nimport helper\nMODEL = Model()\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(text, encoding="utf-8")
    return folder


def plan_of(*models: Path, paths: tuple[Path, ...] = ()) -> Plan:
    named = (tuple(map(str, each)) for each in (models, paths))
    return Plan("c", "cpu", "quick", cells=(), models=next(named), paths=next(named))


def unpacked(plan: Plan, folder: Path) -> Path:
    archive = folder / "harness.zip"
    pack(parcel_of([plan]), archive)
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder / "node")
    return folder / "node"


def test_a_users_code_travels_with_what_git_ignores_and_without_git(tmp_path: Path) -> None:
    models = write(tmp_path / "models", net=MODEL, helper="X = 1\n", venv__lib__junk="")
    (models / ".git").mkdir()
    (models / ".git" / "config").touch()
    (models / ".gitignore").write_text("*\n", encoding="utf-8")
    (models / "weights.bin").write_bytes(b"x" * 10)
    (models / "venv" / "pyvenv.cfg").touch()
    plan = plan_of(models / "net.py")
    base = unpacked(plan, tmp_path)
    there = Path(parcel_of([plan]).there(str(models / "net.py"), base))
    assert digest_of(there) == digest_of(models / "net.py")
    names = {path.name for path in there.parent.iterdir()}
    assert names == {"net.py", "helper.py", ".gitignore", "weights.bin"}


def test_what_lets_somebody_in_somewhere_stays(tmp_path: Path) -> None:
    models = write(tmp_path / "models", net=MODEL, helper="X = 1\n")
    (models / ".env").write_text("TOKEN=1", encoding="utf-8")
    (models / ".aws").mkdir()
    (models / ".aws" / "credentials").write_text("key", encoding="utf-8")
    base = unpacked(plan_of(models / "net.py"), tmp_path)
    assert {path.name for path in base.glob("own/*/models/*")} == {"net.py", "helper.py"}


def test_a_folder_that_is_linked_travels_under_each_of_its_names_and_no_link_goes_in_circles(tmp_path: Path) -> None:
    models = write(tmp_path / "models", net=MODEL, shared__helper="X = 1\n")
    (models / "also").symlink_to("shared")
    (models / "shared" / "up").symlink_to("..")
    (models / "shared" / "itself").symlink_to(".")
    (models / "outside").symlink_to(write(tmp_path / "data", numbers=""))
    base = unpacked(plan_of(models / "net.py"), tmp_path)
    (there,) = base.glob("own/*/models")
    found = {path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()}
    assert found == {"net.py", "also/helper.py", "shared/helper.py", "outside/numbers.py"}


def test_a_model_in_a_package_travels_with_the_package(tmp_path: Path) -> None:
    text = "from harness.bench import Model\nfrom ..nets import net\nMODEL = Model()\n"
    write(tmp_path / "src" / "mine", models__one=text, nets__net="X = 1\n")
    for folder in ("mine", "mine/models", "mine/nets"):
        (tmp_path / "src" / folder / "__init__.py").touch()
    plan = plan_of(tmp_path / "src" / "mine" / "models" / "one.py")
    base = unpacked(plan, tmp_path)
    there = Path(parcel_of([plan]).there(plan.models[0], base))
    assert digest_of(there) == digest_of(Path(plan.models[0]))


def test_what_travelled_works_without_the_checkout(tmp_path: Path) -> None:
    base = unpacked(plan_of(), tmp_path)
    code = "import harness, harness.executors.node, model_zoo; print(harness.__file__, list(model_zoo.__path__)[0])"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(base)!r}); {code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(base / "harness" / "__init__.py"), str(base / "model_zoo")]
    assert {path.name for path in base.iterdir()} == {"harness", "model_zoo"}


def test_equal_files_make_an_equal_archive(tmp_path: Path) -> None:
    models = write(tmp_path / "models", net=MODEL, helper="X = 1\n")
    parcel = parcel_of([plan_of(models / "net.py")])
    for name in ("one", "two"):
        pack(parcel, tmp_path / name)
        (models / "net.py").touch()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_more_than_a_cluster_takes_is_refused_with_what_is_largest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_MB", 8)
    models = write(tmp_path / "models", net=MODEL)
    (models / "huge.bin").write_bytes(bytes(9 * 2**20))
    with pytest.raises(UsageError, match=r"more than 8 MiB would have to travel .*huge\.bin \(9 MiB\).* Put models"):
        pack(parcel_of([plan_of(models / "net.py")]), tmp_path / "x.zip")


NAMES = st.text('abc.é "\\', min_size=1, max_size=6).filter(lambda name: name.strip(". ") == name)


@given(parts=st.lists(NAMES, min_size=1, max_size=4), of=st.sampled_from(["/home/me/models", "/home/me", "/opt/zoo"]))
def test_a_path_comes_back_as_it_went(parts: list[str], of: str) -> None:
    parcel = Parcel({"/home/me": "own/2/me", "/home/me/models": "own/3/models", "/opt/zoo": "model_zoo"})
    base = Path("/tmp/ray/pkg")
    path = "/".join([of, *parts])
    text = json.dumps({parcel.there(path, base): [1]})
    assert json.loads(parcel.text_here(text, base, {})) == {path: [1]}


def test_a_path_of_nothing_that_travels_has_none_there() -> None:
    with pytest.raises(LookupError, match="/etc/hosts"):
        Parcel({"/home/me": "own/2/me"}).there("/etc/hosts", Path("/x"))
