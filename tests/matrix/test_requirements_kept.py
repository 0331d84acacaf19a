"""Requirements that were given before: what is taken again, what is locked anew, and what goes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.bench.environment import pins_of
from harness.bench.errors import UsageError
from harness.bench.hold import hold
from harness.matrix import tooling
from harness.matrix.requirements.given import source_of
from harness.matrix.requirements.keeping import again
from harness.matrix.requirements.pythons import installed_pythons
from harness.matrix.requirements.reading import read
from tests.matrix.taking import Take, lock_of, locked, taken_from, write_pyproject
from tests.matrix.wheels import project, wheel


def test_what_is_not_pinned_gets_the_version_that_the_other_side_has(
    root: Path, index: Path, taken: Take, notes: list[str]
) -> None:
    first = taken("torch==2.0.1", "numpy<1.25", file="old.txt")
    (root / "new.txt").write_text(f"--no-index\n-f {index}\ntorch==2.1.0\nnumpy\n", encoding="utf-8")
    second = taken_from(root, root / "new.txt", notes, beside=first)
    assert pins_of(lock_of(second))["numpy"] == "1.24.3"
    upgraded = again(root, second.name, upgrade=True, note=notes.append)
    assert pins_of(lock_of(upgraded))["numpy"] == "1.26.4"


def test_the_same_text_in_another_folder_is_another_package(root: Path, index: Path, notes: list[str]) -> None:
    for name in ("svc-a", "svc-b"):
        project(root / name, name)
        (root / name / "requirements.txt").write_text(f"--no-index\n-f {index}\n-e .\ntorch==2.0.1\n", encoding="utf-8")
    kept = [taken_from(root, root / name / "requirements.txt", notes) for name in ("svc-a", "svc-b")]
    assert kept[0].name != kept[1].name
    assert ["-e ./svc-a" in lock_of(each) for each in kept] == [True, False]
    assert ["-e ./svc-b" in lock_of(each) for each in kept] == [False, True]


def test_what_a_marker_rules_out_is_not_installed_and_need_not_be_there(root: Path, index: Path, taken: Take) -> None:
    project(root / "svc-a", "svc-a")
    kept = taken(
        "torch==2.0.1",
        "-e ./svc-a ; sys_platform == 'win32'",
        '-e ./gone ; python_version < "3.9"',
        f"{index / 'einops-0.7.0-py3-none-any.whl'} ; sys_platform == 'win32'",
        f"{index / 'pillow-10.0.0-py3-none-any.whl'} ; sys_platform != 'win32'",
    )
    assert {"svc-a", "einops"}.isdisjoint(pins_of(lock_of(kept)))
    assert "pillow" in pins_of(lock_of(kept))
    with pytest.raises(UsageError, match=r"reqs\.txt, line 3: \./gone: no such file or folder"):
        taken("-e ./gone ; python_version >= '3.9'")
    with pytest.raises(UsageError, match=r"line 3: '\./svc-a ; nonsense' is no requirement"):
        taken("./svc-a ; nonsense")


def test_markers_are_those_of_the_interpreter_that_is_used(taken: Take) -> None:
    full = tooling.python_full_version("3.11")
    kept = taken("torch==2.0.1", f"einops ; python_full_version < '{full}'", modules="torch einops")
    assert "einops" not in pins_of(lock_of(kept))
    kept = taken("torch==2.0.1", f"einops ; python_full_version >= '{full}'", modules="torch einops")
    assert "einops" in pins_of(lock_of(kept))


def test_a_package_in_a_file_of_constraints_is_told_to_be_passed_over(
    root: Path, taken: Take, notes: list[str]
) -> None:
    (root / "bounds.txt").write_text("-e ./svc-a\nnumpy<1.25\n", encoding="utf-8")
    kept = taken("-c bounds.txt", "torch==2.0.1")
    told = "bounds.txt, line 1: ./svc-a is passed over: a folder, a file or an address bounds nothing"
    assert f"{kept.name}: {told}" in notes


def test_a_file_that_a_project_has_its_dependencies_from_is_part_of_it(root: Path, index: Path) -> None:
    path = write_pyproject(root, index)
    text = path.read_text(encoding="utf-8").replace('dependencies = ["torch==2.0.1"]', 'dynamic = ["dependencies"]')
    more = 'dynamic = {dependencies = {file = ["deps.in"]}}\npackages'
    path.write_text(text.replace("packages", more, 1), encoding="utf-8")
    (path.parent / "deps.in").write_text("torch==2.0.1\n", encoding="utf-8")
    before = read(root, source_of(str(path)), python="3.11").content
    (path.parent / "deps.in").write_text("torch==2.1.0\n", encoding="utf-8")
    assert read(root, source_of(str(path)), python="3.11").content != before


def test_settings_of_uv_are_part_of_what_is_asked_for(root: Path, taken: Take) -> None:
    lines = ("torch==2.0.1", "numpy")
    assert pins_of(lock_of(taken(*lines)))["numpy"] == "1.26.4"
    (root / "uv.toml").write_text('override-dependencies = ["numpy==1.24.3"]\n', encoding="utf-8")
    assert pins_of(lock_of(taken(*lines)))["numpy"] == "1.24.3"


def test_another_word_of_python_version_is_heeded(root: Path, taken: Take, notes: list[str]) -> None:
    newest, *others = installed_pythons()
    if not others:
        pytest.skip("only one Python is installed here")
    (root / ".python-version").write_text(f"{others[-1]}\n", encoding="utf-8")
    taken("torch==2.0.1", python="")
    (root / ".python-version").write_text(f"{newest}\n", encoding="utf-8")
    kept = taken("torch==2.0.1", python="")
    assert notes[-1] == f"{root / 'reqs.txt'}: {kept.name}, on Python {newest} (as .python-version says)"


def test_what_another_file_has_is_kept_under_its_name(root: Path, taken: Take, notes: list[str]) -> None:
    before = taken("torch==2.0.1", file="reqs-old.txt")
    kept = taken("torch==2.0.1", file="reqs.txt")
    assert (before.name[:9], kept.name[:5], kept.stated["given"]) == ("reqs-old-", "reqs-", "reqs.txt")
    assert "old" not in kept.name
    (root / "reqs-old.txt").unlink()
    assert again(root, kept.name, modules=["numpy"], note=notes.append).name == kept.name


def test_a_file_that_has_moved_is_found_where_it_was_last(root: Path, taken: Take, notes: list[str]) -> None:
    (root / "old").mkdir()
    before = taken("torch==2.0.1", file="old/reqs.txt")
    (root / "old").rename(root / "svc")
    kept = taken_from(root, root / "svc" / "reqs.txt", notes, "torch onnxruntime tensorflow")
    assert kept.name == before.name
    assert again(root, kept.name, modules=["numpy"], note=notes.append).stated["given"] == "svc/reqs.txt"


def test_what_had_no_solution_is_tried_again(root: Path, index: Path, taken: Take) -> None:
    kept = taken("torch==2.1.0", "needs-old-torch")
    assert locked(kept).reason
    newer = wheel(index, "needs-old-torch", "2.0")
    try:
        later = taken("torch==2.1.0", "needs-old-torch")
        assert later.name == kept.name
        assert not locked(later).reason
    finally:
        newer.unlink()


def test_who_installs_from_a_lock_has_it_as_it_was(taken: Take, notes: list[str]) -> None:
    """Another run adds what its models need, and waits where the environment is held."""
    kept = taken("torch==2.0.1", "einops", modules="torch")
    lock = locked(kept)
    ended = threading.Event()

    def take_more() -> None:
        taken("torch==2.0.1", "einops", modules="einops")
        ended.set()

    other = threading.Thread(target=take_more)
    with hold(kept.folder, "the environment", notes.append):
        other.start()
        assert not ended.wait(3.0)
        assert any("is held by process" in note for note in notes)
        assert "einops" not in pins_of(lock_of(kept))
    assert ended.wait(30.0)
    other.join()
    assert {"einops", "torch"} <= pins_of(lock_of(kept)).keys(), "what both need"
    assert lock.path.read_text(encoding="utf-8") == lock.text
