"""Requirements as people have them, taken as they are: what is locked, and what is said of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.bench.environment import pins_of
from harness.bench.errors import UsageError
from harness.matrix.combination import read as read_combination
from harness.matrix.locks import BENCH_REQUIREMENTS
from harness.matrix.requirements.closing import Wish
from harness.matrix.requirements.keeping import addable, again, take
from harness.matrix.requirements.needs import ModelFile
from tests.matrix.taking import Take, hash_of, lock_of, locked, taken_from
from tests.matrix.wheels import project, wheel


def test_what_the_cells_need_is_locked_and_the_rest_is_left_out_and_said(
    root: Path, taken: Take, notes: list[str]
) -> None:
    kept = taken("torch==2.0.1", "onnxruntime==1.15.1", "fastapi==0.110.0", "pytest==7.4.4")
    assert re.fullmatch(r"reqs-[0-9a-f]{8}", kept.name)
    pins = pins_of(lock_of(kept))
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
    assert {"fastapi", "starlette"} <= pins_of(lock_of(everything)).keys()
    assert not any("left out" in note for note in notes[2:])


def test_what_a_model_imports_is_kept_by_whatever_name_it_is_distributed(taken: Take) -> None:
    kept = taken("torch==2.0.1", "einops", "pillow", "fastapi", modules="torch PIL einops nothing_like_it")
    assert {"einops", "pillow"} <= pins_of(lock_of(kept)).keys()
    assert "fastapi" not in pins_of(lock_of(kept))


def test_includes_and_constraints_count_and_what_they_say_is_in_the_name(root: Path, taken: Take) -> None:
    (root / "base.txt").write_text("-c bounds.txt\ntorch\nnumpy\n", encoding="utf-8")
    (root / "bounds.txt").write_text("numpy<1.25\n", encoding="utf-8")
    first = taken("-r base.txt")
    assert pins_of(lock_of(first))["numpy"] == "1.24.3"
    (root / "bounds.txt").write_text("numpy>=1.25\n", encoding="utf-8")
    second = taken("-r base.txt")
    assert pins_of(lock_of(second))["numpy"] == "1.26.4"
    assert first.name != second.name


def test_hashed_versions_are_kept_and_so_are_their_hashes_but_of_what_yields(
    root: Path, index: Path, taken: Take
) -> None:
    named = [("torch", "2.0.1"), ("numpy", "1.24.3"), ("filelock", "3.9.0"), ("pytest", "7.4.4"), ("einops", "0.7.0")]
    files = {name: index / f"{name}-{version}-py3-none-any.whl" for name, version in named}
    other = "--hash=sha256:" + "0" * 64
    lines = [f"{name}=={version} \\\n    {hash_of(files[name])} \\\n    {other}" for name, version in named]
    via = ["    # via torch", "    # via -r requirements.in"]
    kept = taken(*lines, *via, modules="torch einops")
    text = lock_of(kept)
    assert pins_of(text) == {
        "torch": "2.0.1",
        "numpy": "1.24.3",
        "einops": "0.7.0",
        "filelock": "3.13.1",
        "pytest": "8.3.0",
        "pluggy": "1.5.0",
    }
    assert f"numpy==1.24.3 \\\n    {other} \\\n    {hash_of(files['numpy'])}\n" in text
    assert text.count(other) == 3, "what yielded has hashes of its own"
    assert read_combination(root, kept.name).pins == {"einops": "0.7.0", "numpy": "1.24.3", "torch": "2.0.1"}


def test_what_a_lock_lacks_is_added_and_said(index: Path, taken: Take, notes: list[str]) -> None:
    kept = taken(f"torch==2.0.1 {hash_of(index / 'torch-2.0.1-py3-none-any.whl')}")
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
        f"{name}=={version} {hash_of(index / f'{name}-{version}-py3-none-any.whl')}\n    # via {via.get(name, 'torch')}"
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
    text = lock_of(kept)
    pins = pins_of(text)
    assert (pins["torch"], pins["onnxruntime"], pins["mypkg"]) == ("2.1.0+cpu", "1.15.1", "@")
    assert pins["pillow"] == "10.0.0"
    assert pins["einops"] == "0.7.0", "what a package of theirs needs comes with it"
    assert str(root) not in text
    assert re.search(r"^# package: mypkg @, content: [0-9a-f]{16}\n-e \./pkg$", text, re.MULTILINE)
    before, known = text, kept.name
    assert taken_from(root, root / "reqs.txt", notes, "torch onnxruntime tensorflow").name == known
    assert notes[-1] == f"{root / 'reqs.txt'}: {known}, locked before, on Python 3.11"
    (own / "mypkg" / "__init__.py").write_text("VALUE = 2\n", encoding="utf-8")
    changed = taken_from(root, root / "reqs.txt", notes, "torch onnxruntime tensorflow")
    assert changed.name == known
    edited = lock_of(changed)
    assert edited != before, "its content is part of what the environment is"
    assert pins_of(lock_of(changed)) == pins
    (own / "mypkg" / "labels.json").write_text("[1]", encoding="utf-8")
    with_data = lock_of(taken_from(root, root / "reqs.txt", notes, "torch onnxruntime tensorflow"))
    assert with_data not in (before, edited), "and so is its data"


def test_a_lock_that_lacks_what_another_model_needs_grows(taken: Take) -> None:
    lines = ("torch==2.0.1", "einops", "fastapi")
    first = taken(*lines, modules="torch")
    assert "einops" not in pins_of(lock_of(first))
    second = taken(*lines, modules="torch einops")
    assert second.name == first.name
    assert {"torch", "einops"} <= pins_of(lock_of(second)).keys()
    third = taken(*lines, modules="torch")
    assert lock_of(third) == lock_of(second), "what has more serves both"


def test_what_a_model_imports_through_a_package_of_its_own_is_needed(root: Path, index: Path, notes: list[str]) -> None:
    project(root / "pkg", "mypkg", code="import einops\n")
    model = root / "mine.py"
    model.write_text("def build():\n    import mypkg, torch\n", encoding="utf-8")
    (root / "reqs.txt").write_text(f"--no-index\n-f {index}\n-e pkg\ntorch==2.0.1\neinops\nfastapi\n", encoding="utf-8")
    wish = Wish(modules=frozenset(), models=(ModelFile(model),))
    pins = pins_of(lock_of(take(root, str(root / "reqs.txt"), wish, python="3.11", note=notes.append)))
    assert {"mypkg", "einops", "torch"} <= pins.keys()
    assert "fastapi" not in pins


def test_a_module_that_turns_out_to_be_missing_is_added_where_the_requirements_have_it(
    taken: Take, notes: list[str]
) -> None:
    kept = taken("torch==2.0.1", "einops", "fastapi", modules="torch")
    assert addable(kept.root, kept.name, ["einops", "torch"]) == ["einops"]
    again(kept.root, kept.name, modules=["einops"], note=notes.append)
    assert "einops" in pins_of(lock_of(kept))
    assert "fastapi" not in pins_of(lock_of(kept))


def test_a_module_whose_package_has_another_name_is_looked_for_in_all_that_was_left_out(
    taken: Take, notes: list[str]
) -> None:
    kept = taken("torch==2.0.1", "einops", "fastapi", modules="torch")
    left_out = ["einops", "fastapi", "starlette"]
    assert addable(kept.root, kept.name, ["nowhere"]) == left_out
    again(kept.root, kept.name, modules=left_out, note=notes.append)
    assert {*left_out} <= pins_of(lock_of(kept)).keys()
    assert addable(kept.root, kept.name, ["nowhere"]) == [], "there is nothing more to look in"


def test_a_part_of_a_name_tells_which_package_it_may_be(taken: Take, index: Path) -> None:
    wheel(index, "einops-core", "1.0")
    kept = taken("torch==2.0.1", "einops-core", "fastapi", modules="torch")
    assert addable(kept.root, kept.name, ["einops"]) == ["einops-core"]


def test_what_a_test_tool_brings_is_kept_where_a_model_imports_it(root: Path, taken: Take, notes: list[str]) -> None:
    lines = ("torch==2.0.1", "pytest==7.4.4", "tomli==2.0.1")
    kept = taken(*lines, modules="torch")
    assert "tomli" not in pins_of(lock_of(kept))
    assert addable(root, kept.name, ["tomli"]) == ["tomli"]
    more = again(root, kept.name, modules=["tomli"], note=notes.append)
    assert pins_of(lock_of(more))["tomli"] == "2.0.1"
    assert addable(root, kept.name, ["tomli"]) == []
    everything = pins_of(lock_of(taken(*lines, modules="torch", everything=True)))
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
    lock = locked(kept)
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
        taken_from(root, root / "gone.txt", notes)
    (root / "reqs.txt").write_text("torch\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"--python-version 'three': write it like 3\.11"):
        taken_from(root, root / "reqs.txt", notes, python="three")


def test_credentials_of_an_index_stay_where_they_are(taken: Take) -> None:
    kept = taken("--extra-index-url https://me:secret@index.example/simple", "torch==2.0.1")
    assert "me:secret@index.example" in (kept.folder / "lock.txt").read_text(encoding="utf-8")
    assert "secret" not in lock_of(kept)
