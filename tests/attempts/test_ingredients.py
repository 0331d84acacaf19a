"""Each part of what has a say in a cell, changed alone, has it run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.attempts import identities
from harness.attempts.ingredients import places
from harness.bench import identity as bench_identity
from harness.bench.places import PACKAGE
from harness.matrix.surroundings import inventory_of, variables
from tests.attempts.worlds import World, both, other, quiet_night, replace_world, run_now


def shim(world: World, body: str) -> World:
    """The world with an interpreter that is another one: it runs `body` first."""
    path = world.folder / "other-python"
    path.write_text(
        f"#!{world.prepared.python}\nimport sys\n{body}\n"
        "code, sys.argv = sys.argv[2], ['-c', *sys.argv[3:]]\nexec(code)\n",
        encoding="utf-8",
    )
    path.chmod(0o755)
    return replace_world(world, prepared=replace(world.prepared, python=path))


def nobody(_: int) -> None:
    raise KeyError


def other_library(world: World) -> World:
    """The same where another libgcc_s is found first."""
    import ctypes

    ctypes.CDLL("libgcc_s.so.1")
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    (found, *_) = [line.split()[-1] for line in lines if "libgcc_s.so.1" in line]
    there = world.folder / "libraries"
    there.mkdir(exist_ok=True)
    (there / "libgcc_s.so.1").write_bytes(Path(found).read_bytes() + b"other")
    path = world.folder / "other-python"
    path.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={there} exec {world.prepared.python} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return replace_world(world, prepared=replace(world.prepared, python=path))


CPU = """
import pathlib
read = pathlib.Path.read_text
def read_text(path, *given, **more):
    return "flags : sse2 amx\\n" if str(path) == "/proc/cpuinfo" else read(path, *given, **more)
pathlib.Path.read_text = read_text
"""

FILES: Mapping[str, str] = {
    "packages: one of equal version that was replaced": "SITE/theirs-1.0.dist-info/RECORD",
    "packages: another version": "SITE/theirs-1.0.dist-info/METADATA",
    "packages: a module of an editable one": "edited/edited.py",
    "packages: a compiled module of an editable one": "edited/compiled.so",
    "packages: what an editable one has from elsewhere": "apart/apart.py",
    "packages: a module that it has from elsewhere": "single.py",
    "packages: a file of one from an address": "SITE/fetched.py",
    "packages: the commit of one from an address": "SITE/fetched-1.0.dist-info/direct_url.json",
    "model: its file": "good.py",
    "model: what it imports": "own_net.py",
    "model: what that imports": "own_parts.py",
    "model: data that it names": "named.bin",
    "reads: data that it was seen to read": "data/trained.npz",
    "reads: a folder that it was seen to list": "listed/another",
}
OF_RECITE: Mapping[str, str] = {
    "strategy: its file": "plugins/strategies/recite.py",
    "strategy: a step": "plugins/steps/recite.py",
    "strategy: what a step imports": "plugins/steps/_spoken.py",
    "strategy: what that imports": "plugins/steps/_words.py",
    "strategy: its runtime": "plugins/runtimes/reciting.py",
}
CONTENTS: Mapping[str, bytes] = {
    "packages: one of equal version that was replaced": b"other.py,sha256=two,10\n",
    "packages: another version": b"",
    "packages: the commit of one from an address": b"",
}


@pytest.mark.parametrize("part", [*FILES, *OF_RECITE])
def test_a_file_that_changed_has_its_cells_run(base: World, part: str) -> None:
    place = {**FILES, **OF_RECITE}[part]
    path = base.site / place.removeprefix("SITE/") if place.startswith("SITE/") else base.folder / place
    if part == "packages: another version":
        path.write_text(path.read_text().replace("1.0", "1.1"), encoding="utf-8")
        assert run_now(base) == {"native", "recite"}
        path.write_text(path.read_text().replace("1.1", "1.0"), encoding="utf-8")
    elif part == "packages: the commit of one from an address":
        before = path.read_text()
        path.write_text(before.replace("{}", '{"hash": "sha256=two"}'), encoding="utf-8")
        assert run_now(base) == {"native", "recite"}
        path.write_text(before, encoding="utf-8")
    else:
        with other(path, CONTENTS.get(part, b"# other\n")):
            assert run_now(base) == ({"recite"} if part in OF_RECITE else {"native", "recite"})


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("python", lambda world: shim(world, "sys.version = '3.11.7 (another build)'")),
        ("libraries", other_library),
        ("cpu", lambda world: shim(world, CPU)),
        ("policy", lambda world: with_policy(world, timeout_s=299.0)),
        ("threads", lambda world: with_policy(world, threads=2)),
    ],
)
def test_another_condition_has_all_cells_run(base: World, part: str, changed: Callable[[World], World]) -> None:
    now = changed(base)
    attempt, told = now.begun("now", quiet_night(now.plan))
    assert attempt.recorded(now.plan) == []
    before, after = (identities.kept(each) for each in (base.attempt("seen"), attempt))
    assert before is not None
    assert after is not None
    shared = before.ingredients.shared, after.ingredients.shared
    assert [name for name in shared[0] if shared[0][name] != shared[1][name]] == [part]
    assert any("2 cells of good are run, since" in line for line in told)


def with_policy(world: World, **values: Any) -> World:
    return replace_world(world, plan=replace(world.plan, policy=replace(world.plan.policy, **values)))


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("ORT_DISABLE_ALL", True),
        ("PYTORCH_JIT", True),
        ("MALLOC_ARENA_MAX", True),
        ("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", True),
        ("HF_TOKEN", False),
        ("OMP_NUM_THREADS", False),
        ("EDITOR", False),
    ],
)
def test_variables_that_frameworks_read_have_a_say(
    base: World, monkeypatch: pytest.MonkeyPatch, name: str, run: bool
) -> None:
    monkeypatch.setenv(name, "7")
    assert run_now(base) == ({"native", "recite"} if run else set())


MAPS = """
import pathlib
read = pathlib.Path.read_text
def read_text(path, *given, **more):
    names = "libc-2.31.so", "ld-2.31.so", "libother-1.0.so"
    mapped = "".join(f"0-1 r-xp 0 0:0 1 /lib/{name}\\n" for name in names)
    return mapped if str(path) == "/proc/self/maps" else read(path, *given, **more)
pathlib.Path.read_text = read_text
"""


def test_the_c_library_has_a_say_where_its_file_is_called_by_its_version(base: World) -> None:
    found = inventory_of(
        shim(base, MAPS).prepared.python, pinned=True, kept=base.folder / "contents.json", root=base.root
    )
    assert found["libraries"].keys() == {"libc-2.31.so", "ld-2.31.so"}


def test_what_conda_installed_has_a_say(base: World) -> None:
    meta = base.folder / "env" / "conda-meta"
    meta.mkdir()
    found = set()
    for build in ("h1", "h2"):
        (meta / f"mkl-2024.0-{build}.json").touch()
        told = inventory_of(base.prepared.python, pinned=False, kept=base.folder / "contents.json", root=base.root)
        found.add(told["packages"]["packages of conda"])
        (meta / f"mkl-2024.0-{build}.json").unlink()
    meta.rmdir()
    assert len(found) == 2


def test_which_gpu_of_a_node_a_cell_was_given_has_no_say() -> None:
    given: list[dict[str, str]] = [{}, *({"CUDA_VISIBLE_DEVICES": each} for each in ("", "0", "1"))]
    told = [variables("cuda", {"CUBLAS_WORKSPACE_CONFIG": ":16:8", **each}) for each in given]
    assert all(each == told[0] for each in told)
    assert "CUBLAS_WORKSPACE_CONFIG" in told[0]


def test_what_is_published_of_variables_is_no_secret() -> None:
    given = {"HARNESS_PASS_ENV": "MY_*", "MY_SETTING": "private", "MY_API_KEY": "k", "HF_TOKEN": "t", "ORT_LEVEL": "3"}
    found = variables("cpu", {**given, "HF_ENDPOINT": "https://me:secret@host"})
    assert found["ORT_LEVEL"] == "3"
    assert {"MY_SETTING", "HF_ENDPOINT"} <= found.keys(), "they have a say"
    assert not {"HF_TOKEN", "MY_API_KEY"} & found.keys()
    assert not any(text in value for value in found.values() for text in ("private", "secret"))


def test_the_bench_has_a_say(base: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PACKAGE / "bench", tmp_path / "bench")
    monkeypatch.setattr(bench_identity, "PACKAGE", tmp_path)
    assert run_now(base) == set()
    with (tmp_path / "bench" / "match.py").open("a", encoding="utf-8") as file:
        file.write("# other\n")
    assert run_now(base) == {"native", "recite"}


def test_a_gpu_and_its_driver_have_a_say(world: World) -> None:
    cells = tuple(replace(cell, device="cuda") for cell in world.plan.cells)
    world.plan = replace(world.plan, device="cuda", cells=cells)
    gpu: dict[str, Any] = {"gpu": {"name": "H200", "memory_mb": 143771, "count": 1}, "driver": "570.1"}
    world.seen("2026-01-31T13:00:00Z", both(world.plan), **gpu)
    assert run_now(world, **gpu) == set()
    assert run_now(world, **{**gpu, "driver": "570.2"}) == {"native", "recite"}
    assert run_now(world, **{**gpu, "gpu": {**gpu["gpu"], "name": "H100"}}) == {"native", "recite"}


def test_a_user_without_a_home_carries_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number: neither a variable nor the system says where that is."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    places.cache_clear()
    assert run_now(world) == set()
    inventory_of(world.prepared.python, pinned=False, kept=world.folder / "contents.json", root=world.root)
