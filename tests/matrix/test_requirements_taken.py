"""Requirements as people have them, taken as they are: what is locked of each form, and what is said of it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.bench.environment import pins_of
from harness.bench.errors import UsageError
from harness.bench.hold import hold
from harness.matrix import tooling
from harness.matrix.combination import read as read_combination
from harness.matrix.locks import BENCH_REQUIREMENTS, read_lock
from harness.matrix.requirements.closing import Wish
from harness.matrix.requirements.keeping import Kept, addable, again, installed_pythons, make_room, take
from harness.matrix.requirements.needs import ModelFile
from harness.matrix.requirements.reading import read, source_of
from tests.matrix.wheels import project, wheel

Take = Callable[..., Kept]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels that stands for the package index."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("2.0.1", "2.1.0", "2.1.0+cpu"):
        wheel(folder, "torch", version, "filelock", "numpy")
    for version in ("1.24.3", "1.26.4"):
        wheel(folder, "numpy", version)
    wheel(folder, "onnxruntime", "1.15.1", "numpy>=1.21")
    wheel(folder, "fastapi", "0.110.0", "starlette")
    wheel(folder, "starlette", "0.36.3")
    wheel(folder, "einops", "0.7.0")
    wheel(folder, "pillow", "10.0.0", modules=["PIL"])
    wheel(folder, "filelock", "3.9.0")
    wheel(folder, "filelock", "3.13.1")
    wheel(folder, "pytest", "7.4.4", "pluggy<1.5")
    wheel(folder, "pytest", "8.3.0", "pluggy>=1.5")
    wheel(folder, "pluggy", "1.0.0")
    wheel(folder, "pluggy", "1.5.0")
    wheel(folder, "tomli", "2.0.1")
    wheel(folder, "tomli", "2.1.0")
    wheel(folder, "needs-old-torch", "1.0", "torch<2.1")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with nothing in it; the bench needs a test tool and what torch needs, too."""
    bench = tmp_path / "root" / BENCH_REQUIREMENTS
    bench.parent.mkdir(parents=True)
    bench.write_text("pytest>=8\nfilelock>=3.12\n", encoding="utf-8")
    return tmp_path / "root"


@pytest.fixture
def notes() -> list[str]:
    """What a person was told."""
    return []


@pytest.fixture
def taken(root: Path, index: Path, notes: list[str]) -> Take:
    """Take a file of these lines, with the folder of wheels as the only index."""

    def do(*lines: str, modules: str = "torch onnxruntime tensorflow", file: str = "reqs.txt", **more: object) -> Kept:
        (root / file).write_text("\n".join([f"--no-index\n-f {index}", *lines, ""]), encoding="utf-8")
        return _take(root, root / file, notes, modules, **more)

    return do


def _take(root: Path, path: Path | str, notes: list[str], modules: str = "torch", **more: object) -> Kept:
    wish = Wish(modules=frozenset(modules.split()), everything=bool(more.pop("everything", False)))
    given: dict[str, object] = {"python": "3.11", **more}
    return take(root, str(path), wish, note=notes.append, **given)  # type: ignore[arg-type]


def _lock(kept: Kept) -> str:
    return read_lock(kept.root, read_combination(kept.root, kept.name)).text


def _hash(path: Path) -> str:
    return f"--hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_what_the_cells_need_is_locked_and_the_rest_is_left_out_and_said(
    root: Path, taken: Take, notes: list[str]
) -> None:
    kept = taken("torch==2.0.1", "onnxruntime==1.15.1", "fastapi==0.110.0", "pytest==7.4.4")
    assert re.fullmatch(r"reqs-[0-9a-f]{8}", kept.name)
    pins = pins_of(_lock(kept))
    assert pins == {
        "torch": "2.0.1",
        "numpy": "1.26.4",
        "onnxruntime": "1.15.1",
        "filelock": "3.13.1",
        "pytest": "8.3.0",
        "pluggy": "1.5.0",
    }
    assert notes == [
        f"{root / 'reqs.txt'}: {kept.name}, on Python 3.11 (as --python-version says)",
        f"{kept.name}: pluggy 1.0.0 yields to 1.5.0: it is a test tool, and the bench needs its own",
        f"{kept.name}: pytest 7.4.4 yields to 8.3.0: it is a test tool, and the bench needs its own",
        f"{kept.name}: left out, since no cell needs them: fastapi, starlette (--all installs everything)",
    ]
    assert read_combination(kept.root, kept.name).pins == {"onnxruntime": "1.15.1", "torch": "2.0.1"}


def test_all_installs_everything_and_is_another_environment(taken: Take, notes: list[str]) -> None:
    some, everything = taken("torch==2.0.1", "fastapi"), taken("torch==2.0.1", "fastapi", everything=True)
    assert some.name != everything.name
    assert {"fastapi", "starlette"} <= pins_of(_lock(everything)).keys()
    assert not any("left out" in note for note in notes[2:])


def test_what_a_model_imports_is_kept_by_whatever_name_it_is_distributed(taken: Take) -> None:
    kept = taken("torch==2.0.1", "einops", "pillow", "fastapi", modules="torch PIL einops nothing_like_it")
    assert {"einops", "pillow"} <= pins_of(_lock(kept)).keys()
    assert "fastapi" not in pins_of(_lock(kept))


def test_includes_and_constraints_count_and_what_they_say_is_in_the_name(root: Path, taken: Take) -> None:
    (root / "base.txt").write_text("-c bounds.txt\ntorch\nnumpy\n", encoding="utf-8")
    (root / "bounds.txt").write_text("numpy<1.25\n", encoding="utf-8")
    first = taken("-r base.txt")
    assert pins_of(_lock(first))["numpy"] == "1.24.3"
    (root / "bounds.txt").write_text("numpy>=1.25\n", encoding="utf-8")
    second = taken("-r base.txt")
    assert pins_of(_lock(second))["numpy"] == "1.26.4"
    assert first.name != second.name


def test_hashed_versions_are_kept_and_so_are_their_hashes_but_of_what_yields(
    root: Path, index: Path, taken: Take
) -> None:
    named = [("torch", "2.0.1"), ("numpy", "1.24.3"), ("filelock", "3.9.0"), ("pytest", "7.4.4"), ("einops", "0.7.0")]
    files = {name: index / f"{name}-{version}-py3-none-any.whl" for name, version in named}
    other = "--hash=sha256:" + "0" * 64
    lines = [f"{name}=={version} \\\n    {_hash(files[name])} \\\n    {other}" for name, version in named]
    via = ["    # via torch", "    # via -r requirements.in"]
    kept = taken(*lines, *via, modules="torch einops")
    text = _lock(kept)
    assert pins_of(text) == {
        "torch": "2.0.1",
        "numpy": "1.24.3",
        "einops": "0.7.0",
        "filelock": "3.13.1",
        "pytest": "8.3.0",
        "pluggy": "1.5.0",
    }
    assert f"numpy==1.24.3 \\\n    {other} \\\n    {_hash(files['numpy'])}\n" in text
    assert text.count(other) == 3, "what yielded has hashes of its own"
    assert read_combination(root, kept.name).pins == {"einops": "0.7.0", "numpy": "1.24.3", "torch": "2.0.1"}


def test_what_a_lock_lacks_is_added_and_said(index: Path, taken: Take, notes: list[str]) -> None:
    kept = taken(f"torch==2.0.1 {_hash(index / 'torch-2.0.1-py3-none-any.whl')}")
    assert notes[-1] == f"{kept.name}: added, since what is installed needs them and they are not locked: numpy"


def test_a_comparison_is_about_what_people_asked_for_and_not_about_all_of_a_lock(
    root: Path, index: Path, taken: Take
) -> None:
    named = [("torch", "2.0.1"), ("numpy", "1.24.3"), ("starlette", "0.36.3"), ("einops", "0.7.0")]
    via = {
        "torch": "-r requirements.in",
        "numpy": "torch",
        "starlette": "\n    #   -r requirements.in\n    #   fastapi",
    }
    lines = [
        f"{name}=={version} {_hash(index / f'{name}-{version}-py3-none-any.whl')}\n    # via {via.get(name, 'torch')}"
        for name, version in named
    ]
    kept = taken(*lines, modules="torch", everything=True)
    assert read_combination(root, kept.name).pins == {"numpy": "1.24.3", "starlette": "0.36.3", "torch": "2.0.1"}


def test_a_local_version_a_file_and_a_package_of_ones_own_round_trip(
    root: Path, index: Path, taken: Take, notes: list[str]
) -> None:
    own = project(root / "pkg", "mypkg", "einops")
    kept = taken(
        "torch==2.1.0+cpu",
        str(index / "pillow-10.0.0-py3-none-any.whl"),
        "-e ./pkg",
        f"onnxruntime @ {(index / 'onnxruntime-1.15.1-py3-none-any.whl').as_uri()}",
    )
    text = _lock(kept)
    pins = pins_of(text)
    assert (pins["torch"], pins["onnxruntime"], pins["mypkg"]) == ("2.1.0+cpu", "1.15.1", "@")
    assert pins["pillow"] == "10.0.0"
    assert pins["einops"] == "0.7.0", "what a package of theirs needs comes with it"
    assert str(root) not in text
    assert re.search(r"^# package: mypkg @, content: [0-9a-f]{16}\n-e \./pkg$", text, re.MULTILINE)
    before, known = text, kept.name
    assert _take(root, root / "reqs.txt", notes, "torch onnxruntime tensorflow").name == known
    assert notes[-1] == f"{root / 'reqs.txt'}: {known}, locked before, on Python 3.11"
    (own / "mypkg" / "__init__.py").write_text("VALUE = 2\n", encoding="utf-8")
    changed = _take(root, root / "reqs.txt", notes, "torch onnxruntime tensorflow")
    assert changed.name == known
    edited = _lock(changed)
    assert edited != before, "its content is part of what the environment is"
    assert pins_of(_lock(changed)) == pins
    (own / "mypkg" / "labels.json").write_text("[1]", encoding="utf-8")
    with_data = _lock(_take(root, root / "reqs.txt", notes, "torch onnxruntime tensorflow"))
    assert with_data not in (before, edited), "and so is its data"


def test_a_lock_that_lacks_what_another_model_needs_grows(taken: Take) -> None:
    lines = ("torch==2.0.1", "einops", "fastapi")
    first = taken(*lines, modules="torch")
    assert "einops" not in pins_of(_lock(first))
    second = taken(*lines, modules="torch einops")
    assert second.name == first.name
    assert {"torch", "einops"} <= pins_of(_lock(second)).keys()
    third = taken(*lines, modules="torch")
    assert _lock(third) == _lock(second), "what has more serves both"


def test_what_a_model_imports_through_a_package_of_its_own_is_needed(root: Path, index: Path, notes: list[str]) -> None:
    project(root / "pkg", "mypkg", code="import einops\n")
    model = root / "mine.py"
    model.write_text("def build():\n    import mypkg, torch\n", encoding="utf-8")
    (root / "reqs.txt").write_text(f"--no-index\n-f {index}\n-e pkg\ntorch==2.0.1\neinops\nfastapi\n", encoding="utf-8")
    wish = Wish(modules=frozenset(), models=(ModelFile(model),))
    pins = pins_of(_lock(take(root, str(root / "reqs.txt"), wish, python="3.11", note=notes.append)))
    assert {"mypkg", "einops", "torch"} <= pins.keys()
    assert "fastapi" not in pins


def test_a_module_that_turns_out_to_be_missing_is_added_where_the_requirements_have_it(
    taken: Take, notes: list[str]
) -> None:
    kept = taken("torch==2.0.1", "einops", "fastapi", modules="torch")
    assert addable(kept.root, kept.name, ["einops", "torch", "pandas"]) == ["einops"]
    again(kept.root, kept.name, modules=["einops"], note=notes.append)
    assert "einops" in pins_of(_lock(kept))
    assert "fastapi" not in pins_of(_lock(kept))


def test_what_a_test_tool_brings_is_kept_where_a_model_imports_it(root: Path, taken: Take, notes: list[str]) -> None:
    lines = ("torch==2.0.1", "pytest==7.4.4", "tomli==2.0.1")
    kept = taken(*lines, modules="torch")
    assert "tomli" not in pins_of(_lock(kept))
    assert addable(root, kept.name, ["tomli"]) == ["tomli"]
    more = again(root, kept.name, modules=["tomli"], note=notes.append)
    assert pins_of(_lock(more))["tomli"] == "2.0.1"
    assert addable(root, kept.name, ["tomli"]) == []
    everything = pins_of(_lock(taken(*lines, modules="torch", everything=True)))
    assert (everything["pytest"], everything["tomli"]) == ("8.3.0", "2.0.1"), "nothing speaks against it"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ["torch==2.0.9"],
            r"resolving reqs\.txt: torch==2\.0\.9 is asked for, and the package index does not have it.*",
        ),
        (["torch==2.0.1", "no-such-package-xyz"], r"no-such-package-xyz is asked for, and the package index does not"),
        (
            ["torch==2.0.1 --hash=sha256:00", "numpy==9.9 --hash=sha256:00"],
            r"numpy==9\.9 is asked for, and the package",
        ),
    ],
)
def test_what_the_index_does_not_have_is_told_as_that(taken: Take, lines: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        taken(*lines)


def test_requirements_without_a_solution_are_a_fact_and_kept(taken: Take) -> None:
    kept = taken("torch==2.1.0", "needs-old-torch")
    lock = read_lock(kept.root, read_combination(kept.root, kept.name))
    assert lock.kind == "NoSolution"
    assert "torch<2.1" in lock.reason
    assert read_combination(kept.root, kept.name).pins == {"torch": "2.1.0"}


def test_what_the_bench_needs_never_moves_a_tested_version(root: Path, taken: Take) -> None:
    (root / BENCH_REQUIREMENTS).write_text("needs-old-torch\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"what the bench needs does not fit beside reqs\.txt without moving what is"):
        taken("torch==2.1.0")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("-r gone.txt", r"reqs\.txt, line 3: gone\.txt: no such file"),
        ("-e ./gone", r"reqs\.txt, line 3: \./gone: no such file or folder"),
        ("torch=2.0", r"reqs\.txt, line 3: 'torch=2\.0' is no requirement"),
        ("-r https://host/base.txt", r"reqs\.txt, line 3: https://host/base\.txt: what is elsewhere is not read"),
        ("--extra-index-url", r"reqs\.txt, line 3: the option '--extra-index-url' needs a value"),
        ("-r", r"reqs\.txt, line 3: the option '-r' needs a value"),
        ("--no-deps", r"reqs\.txt, line 3: '--no-deps' leaves out what packages need"),
        ("# nothing", r"reqs\.txt: it asks for no package\. Name the file that has them"),
        ("--frobnicate", r"reqs\.txt, line 3: the option '--frobnicate' is not known"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_with_its_number(taken: Take, line: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        taken(line)


def test_a_file_that_is_not_there_is_told(root: Path, notes: list[str]) -> None:
    with pytest.raises(UsageError, match=r"gone\.txt: no such file of requirements"):
        _take(root, root / "gone.txt", notes)
    (root / "reqs.txt").write_text("torch\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"--python-version 'three': write it like 3\.11"):
        _take(root, root / "reqs.txt", notes, python="three")


def test_credentials_of_an_index_stay_where_they_are(taken: Take) -> None:
    kept = taken("--extra-index-url https://me:secret@index.example/simple", "torch==2.0.1")
    assert "me:secret@index.example" in (kept.folder / "lock.txt").read_text(encoding="utf-8")
    assert "secret" not in _lock(kept)


def _pyproject(root: Path, index: Path, more: str = "") -> Path:
    path = root / "app" / "pyproject.toml"
    project(path.parent, "myapp", "torch==2.0.1")
    text = path.read_text(encoding="utf-8").replace("[build-system]", f"{more}\n[build-system]")
    path.write_text(f'{text}[tool.uv]\nno-index = true\nfind-links = ["{index}"]\n', encoding="utf-8")
    return path


def test_a_project_with_an_extra_and_a_group(root: Path, index: Path, notes: list[str]) -> None:
    more = 'optional-dependencies = {serve = ["onnxruntime==1.15.1"]}\nrequires-python = ">=3.10"\n'
    path = _pyproject(root, index, f'{more}[dependency-groups]\nvision = ["pillow"]\n')
    plain = _take(root, path, notes, "torch onnxruntime PIL")
    assert plain.name.startswith("pyproject-")
    assert {"onnxruntime", "pillow", "myapp"}.isdisjoint(pins_of(_lock(plain)))
    more_of_it = _take(root, f"{path}[serve]:vision", notes, "torch onnxruntime PIL myapp")
    assert {"onnxruntime", "pillow", "myapp"} <= pins_of(_lock(more_of_it)).keys()
    assert more_of_it.name != plain.name
    with pytest.raises(UsageError, match=r"pyproject\.toml: unknown extra 'serf'\. Did you mean 'serve'"):
        _take(root, f"{path}[serf]", notes)
    with pytest.raises(UsageError, match=r"pyproject\.toml: unknown group 'visio'\. Did you mean 'vision'"):
        _take(root, f"{path}:visio", notes)


def _uv(folder: Path, *arguments: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run([tooling.uv(), *arguments], cwd=folder, env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_uv_lock_and_pylock_keep_their_versions(root: Path, index: Path, notes: list[str]) -> None:
    path = _pyproject(root, index, 'requires-python = ">=3.10"\n')
    _uv(path.parent, "lock")
    wheel(index, "numpy", "1.27.0")
    try:
        locked = _take(root, path.with_name("uv.lock"), notes, "torch")
        assert (pins_of(_lock(locked))["numpy"], locked.name[:3]) == ("1.26.4", "uv-")
        _uv(path.parent, "export", "--format=pylock.toml", "--no-emit-project", "-o", "pylock.toml", "--frozen")
        pylock = _take(root, path.with_name("pylock.toml"), notes, "torch")
        assert pins_of(_lock(pylock)) == pins_of(_lock(locked))
        assert pylock.name.startswith("pylock-")
    finally:
        (index / "numpy-1.27.0-py3-none-any.whl").unlink()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pyproject.toml", "[project\n", r"pyproject\.toml: not valid TOML"),
        ("pyproject.toml", "[tool.x]\n", r"it has no table `project`\. Name a group of it: --requirements pyproject"),
        ("pyproject.toml", "[tool.poetry]\n", r"pyproject\.toml: it is Poetry's.*poetry export -o requirements\.txt"),
        ("poetry.lock", "", r"poetry\.lock: it is Poetry's"),
        ("pylock.toml", 'lock-version = "1.0"\n', r"pylock\.toml: no valid pylock\.toml \("),
        ("uv.lock", "version = 1\n", r"uv\.lock: uv cannot read it"),
    ],
)
def test_a_form_that_cannot_be_read_is_told(root: Path, notes: list[str], name: str, text: str, told: str) -> None:
    (root / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        _take(root, root / name, notes)


def test_a_lock_that_is_taken_whole_has_no_group(root: Path, notes: list[str]) -> None:
    (root / "pylock.toml").write_text('lock-version = "1.0"\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"pylock\.toml: it is taken whole, without an extra or a group"):
        _take(root, f"{root / 'pylock.toml'}:foo", notes)


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("# python: 3.11", "as the header of reqs.txt says"),
        ("#    uv pip compile reqs.in --python-version 3.11 -o reqs.txt", "as the header of reqs.txt says"),
        ("# This file is autogenerated by pip-compile with Python 3.11", "as the header of reqs.txt says"),
        ("", "as .python-version says"),
    ],
)
def test_where_the_python_version_is_from(root: Path, index: Path, notes: list[str], head: str, why: str) -> None:
    (root / ".python-version").write_text("3.11.4\n", encoding="utf-8")
    (root / "reqs.txt").write_text(f"{head}\n--no-index\n-f {index}\ntorch==2.0.1\n", encoding="utf-8")
    kept = _take(root, root / "reqs.txt", notes, python="")
    assert notes[0] == f"{root / 'reqs.txt'}: {kept.name}, on Python 3.11 ({why})"


def test_without_any_word_of_python_it_is_the_newest_that_fits(root: Path, taken: Take, notes: list[str]) -> None:
    kept = taken("torch==2.0.1", python="")
    newest = installed_pythons()[0]
    why = "the newest that is installed here and under which they have a solution"
    assert notes[0] == f"{root / 'reqs.txt'}: {kept.name}, on Python {newest} ({why})"
    assert taken("torch==2.0.1", python="").name == kept.name


@pytest.fixture
def old_abi(index: Path) -> Iterator[str]:
    """The oldest Python that is installed here; a package, `old-abi`, is for that one alone."""
    python = installed_pythons()[-1]
    path = wheel(index, "old-abi", "1.0")
    tagged = path.rename(index / f"old_abi-1.0-cp{python.replace('.', '')}-none-any.whl")
    yield python
    tagged.unlink()


def test_both_sides_have_the_same_python_unless_one_says_otherwise(
    root: Path, taken: Take, notes: list[str], old_abi: str
) -> None:
    base = taken("torch==2.0.1", "old-abi", file="old.txt", python="")
    assert base.stated["python"] == old_abi
    beside = taken("torch==2.1.0", file="new.txt", python="", beside=base)
    assert notes[-1] == f"{root / 'new.txt'}: {beside.name}, on Python {old_abi} (as {base.name} is)"
    assert again(root, beside.name, modules=["numpy"], note=notes.append).name == beside.name
    other = taken(
        "# python: 3.11",
        "torch==2.1.0",
        file="said.txt",
        python="",
        beside=Kept(root=root, name="old-abi", stated={**base.stated, "python": "3.99"}),
    )
    assert "NOT on Python 3.99, as old-abi is, but on 3.11 (as the header of said.txt says)" in notes[-2]
    assert other.stated["python"] == "3.11"


def test_the_reason_for_no_solution_is_one_that_is_not_about_the_python(
    root: Path, taken: Take, notes: list[str], old_abi: str
) -> None:
    base = taken("torch==2.0.1", "old-abi", file="old.txt", python="")
    lines = ("torch==2.1.0", "old-abi", "needs-old-torch")
    for kept in (taken(*lines, python=""), taken(*lines, file="new.txt", python="", beside=base)):
        assert kept.stated["python"] == old_abi
        assert "torch<2.1" in read_lock(root, read_combination(root, kept.name)).reason
    pythons = installed_pythons()
    if len(pythons) > 1:
        told = " or ".join([", ".join(pythons[:-1]), pythons[-1]])
        assert any(note.endswith(f"on Python {old_abi} (they have no solution under {told})") for note in notes)


def test_where_space_is_short_the_environment_that_was_used_longest_ago_goes(taken: Take, notes: list[str]) -> None:
    kept = [taken(f"torch=={version}", file=f"r{n}.txt") for n, version in enumerate(("2.0.1", "2.1.0", "2.1.0+cpu"))]
    for number, each in enumerate(kept):
        (each.folder / "env" / "lib").mkdir(parents=True)
        os.utime(each.folder / "given.json", (number, number))
    notes.clear()
    make_room(kept[0].root, kept[2].name, note=notes.append, enough=0)
    assert notes == []
    make_room(kept[0].root, kept[0].name, note=notes.append, enough=2**70)
    assert notes == [
        f"space is short: removing the environment of {each.name}, which was used longest ago" for each in kept[1:]
    ]
    assert [(each.folder / "env").exists() for each in kept] == [True, False, False]
    assert all((each.folder / "lock.txt").exists() for each in kept)


def test_what_is_not_pinned_gets_the_version_that_the_other_side_has(
    root: Path, index: Path, taken: Take, notes: list[str]
) -> None:
    first = taken("torch==2.0.1", "numpy<1.25", file="old.txt")
    (root / "new.txt").write_text(f"--no-index\n-f {index}\ntorch==2.1.0\nnumpy\n", encoding="utf-8")
    second = _take(root, root / "new.txt", notes, beside=first)
    assert pins_of(_lock(second))["numpy"] == "1.24.3"
    upgraded = again(root, second.name, upgrade=True, note=notes.append)
    assert pins_of(_lock(upgraded))["numpy"] == "1.26.4"


def test_the_same_text_in_another_folder_is_another_package(root: Path, index: Path, notes: list[str]) -> None:
    for name in ("svc-a", "svc-b"):
        project(root / name, name)
        (root / name / "requirements.txt").write_text(f"--no-index\n-f {index}\n-e .\ntorch==2.0.1\n", encoding="utf-8")
    kept = [_take(root, root / name / "requirements.txt", notes) for name in ("svc-a", "svc-b")]
    assert kept[0].name != kept[1].name
    assert ["-e ./svc-a" in _lock(each) for each in kept] == [True, False]
    assert ["-e ./svc-b" in _lock(each) for each in kept] == [False, True]


def test_what_a_marker_rules_out_is_not_installed_and_need_not_be_there(root: Path, index: Path, taken: Take) -> None:
    project(root / "svc-a", "svc-a")
    kept = taken(
        "torch==2.0.1",
        "-e ./svc-a ; sys_platform == 'win32'",
        '-e ./gone ; python_version < "3.9"',
        f"{index / 'einops-0.7.0-py3-none-any.whl'} ; sys_platform == 'win32'",
        f"{index / 'pillow-10.0.0-py3-none-any.whl'} ; sys_platform != 'win32'",
    )
    assert {"svc-a", "einops"}.isdisjoint(pins_of(_lock(kept)))
    assert "pillow" in pins_of(_lock(kept))
    with pytest.raises(UsageError, match=r"reqs\.txt, line 3: \./gone: no such file or folder"):
        taken("-e ./gone ; python_version >= '3.9'")
    with pytest.raises(UsageError, match=r"line 3: '\./svc-a ; nonsense' is no requirement"):
        taken("./svc-a ; nonsense")


def test_markers_are_those_of_the_interpreter_that_is_used(taken: Take) -> None:
    full = tooling.python_full_version("3.11")
    kept = taken("torch==2.0.1", f"einops ; python_full_version < '{full}'", modules="torch einops")
    assert "einops" not in pins_of(_lock(kept))
    kept = taken("torch==2.0.1", f"einops ; python_full_version >= '{full}'", modules="torch einops")
    assert "einops" in pins_of(_lock(kept))


def test_a_package_in_a_file_of_constraints_is_told_to_be_passed_over(
    root: Path, taken: Take, notes: list[str]
) -> None:
    (root / "bounds.txt").write_text("-e ./svc-a\nnumpy<1.25\n", encoding="utf-8")
    kept = taken("-c bounds.txt", "torch==2.0.1")
    told = "bounds.txt, line 1: ./svc-a is passed over: a folder, a file or an address bounds nothing"
    assert f"{kept.name}: {told}" in notes


def test_a_file_that_a_project_has_its_dependencies_from_is_part_of_it(root: Path, index: Path) -> None:
    path = _pyproject(root, index)
    text = path.read_text(encoding="utf-8").replace('dependencies = ["torch==2.0.1"]', 'dynamic = ["dependencies"]')
    more = 'dynamic = {dependencies = {file = ["deps.in"]}}\npackages'
    path.write_text(text.replace("packages", more, 1), encoding="utf-8")
    (path.parent / "deps.in").write_text("torch==2.0.1\n", encoding="utf-8")
    before = read(root, source_of(str(path)), python="3.11").content
    (path.parent / "deps.in").write_text("torch==2.1.0\n", encoding="utf-8")
    assert read(root, source_of(str(path)), python="3.11").content != before


def test_settings_of_uv_are_part_of_what_is_asked_for(root: Path, taken: Take) -> None:
    lines = ("torch==2.0.1", "numpy")
    assert pins_of(_lock(taken(*lines)))["numpy"] == "1.26.4"
    (root / "uv.toml").write_text('override-dependencies = ["numpy==1.24.3"]\n', encoding="utf-8")
    assert pins_of(_lock(taken(*lines)))["numpy"] == "1.24.3"


def test_another_word_of_python_version_is_heeded(root: Path, taken: Take, notes: list[str]) -> None:
    newest, *others = installed_pythons()
    if not others:
        pytest.skip("only one Python is installed here")
    (root / ".python-version").write_text(f"{others[-1]}\n", encoding="utf-8")
    taken("torch==2.0.1", python="")
    (root / ".python-version").write_text(f"{newest}\n", encoding="utf-8")
    kept = taken("torch==2.0.1", python="")
    assert notes[-1] == f"{root / 'reqs.txt'}: {kept.name}, on Python {newest} (as .python-version says)"


def test_what_had_no_solution_is_tried_again(root: Path, index: Path, taken: Take) -> None:
    kept = taken("torch==2.1.0", "needs-old-torch")
    assert read_lock(kept.root, read_combination(kept.root, kept.name)).reason
    newer = wheel(index, "needs-old-torch", "2.0")
    try:
        later = taken("torch==2.1.0", "needs-old-torch")
        assert later.name == kept.name
        assert not read_lock(later.root, read_combination(later.root, later.name)).reason
    finally:
        newer.unlink()


def test_who_installs_from_a_lock_has_it_as_it_was(taken: Take, notes: list[str]) -> None:
    """Another run adds what its models need, and waits where the environment is held."""
    kept = taken("torch==2.0.1", "einops", modules="torch")
    lock = read_lock(kept.root, read_combination(kept.root, kept.name))
    ended = threading.Event()

    def take_more() -> None:
        taken("torch==2.0.1", "einops", modules="einops")
        ended.set()

    other = threading.Thread(target=take_more)
    with hold(kept.folder, "the environment", notes.append):
        other.start()
        assert not ended.wait(3.0)
        assert any("is held by process" in note for note in notes)
        assert "einops" not in pins_of(_lock(kept))
    assert ended.wait(30.0)
    other.join()
    assert {"einops", "torch"} <= pins_of(_lock(kept)).keys(), "what both need"
    assert lock.path.read_text(encoding="utf-8") == lock.text
