"""Packages on this machine that somebody's requirements ask for by their place: found, whoever asks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.bench.environment import pins_of
from harness.bench.errors import UsageError
from harness.matrix.installing import holding, prepare_environment
from harness.matrix.requirements.gathering import Gathered
from harness.matrix.requirements.given import source_of
from harness.matrix.requirements.reading import read
from tests.matrix.taking import Take, hash_of, lock_of, locked, taken_from
from tests.matrix.wheels import project, wheel


def _with_sources(folder: Path, index: Path, *, requires: str, sources: str) -> Path:
    """A project that asks for packages by places of its own; its file."""
    path = project(folder, folder.name, *requires.split()) / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    settings = f'[tool.uv]\nno-index = true\nfind-links = ["{index}"]\n[tool.uv.sources]\n{sources}\n'
    path.write_text(f"{text}{settings}", encoding="utf-8")
    return path


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("app", '{path = "../lib"}'),
        ("app", '{path = "libs/lib"}'),
        ("svc/app", '{path = "../lib", editable = true}'),
        (".", '{path = "libs/lib"}'),
        (".", '{path = "../lib"}'),
        ("a-path-that-uv-would-break-over-several-lines/" * 3 + "app", '{path = "../lib"}'),
    ],
)
def test_a_project_has_the_package_that_its_path_names(
    root: Path, index: Path, notes: list[str], where: str, place: str, everything: bool
) -> None:
    path = _with_sources(root / where, index, requires="torch==2.0.1 lib", sources=f"lib = {place}")
    found = re.search(r'"([^"]+)"', place)
    assert found is not None
    folder = (path.parent / found[1]).resolve()
    project(folder, "lib", "einops")
    kept = taken_from(root, path, notes, "torch", everything=everything)
    text = lock_of(kept)
    told = f"./{folder.relative_to(root)}" if folder.is_relative_to(root) else str(folder)
    assert re.search(rf"^# package: lib @, content: [0-9a-f]{{16}}\n-e {re.escape(told)}$", text, re.MULTILINE)
    assert (pins_of(text)["lib"], pins_of(text)["einops"]) == ("@", "0.7.0")
    folder.rename(folder.with_name("gone"))
    with pytest.raises(UsageError, match=r"no such file or folder on this machine \(.*lib\)\. Correct the path"):
        taken_from(root, path, notes, "torch", everything=everything)


def test_what_a_package_of_theirs_asks_for_by_its_own_path_is_found(root: Path, index: Path, notes: list[str]) -> None:
    path = _with_sources(
        root / "svc" / "app", index, requires="torch==2.0.1 lib", sources='lib = {path = "../libs/lib"}'
    )
    sources = 'third = {path = "../third"}\nown = {path = "own-1.0-py3-none-any.whl"}'
    _with_sources(root / "svc" / "libs" / "lib", index, requires="third own", sources=sources)
    file = wheel(root / "svc" / "libs" / "lib", "own", "1.0")
    project(root / "svc" / "libs" / "third", "third")
    kept = taken_from(root, path, notes, "torch app")
    text = lock_of(kept)
    assert [line for line in text.splitlines() if line.startswith("-e ")] == [
        "-e ./svc/app",
        "-e ./svc/libs/lib",
        "-e ./svc/libs/third",
    ]
    assert "# package: own 1.0, content: " in text
    assert f"./svc/libs/lib/{file.name} \\\n    {hash_of(file)}\n" in text
    assert str(root) not in text.replace(f"--find-links {index}", "")
    log = root / "install.log"
    with holding(root, kept.name, print):
        # Editable here, and not in what the one asks for the other by. No index here has what builds them.
        prepare_environment(root, kept.name, locked(kept), log=log, note=print, busy=print)
    assert "Resolved 9 packages" in log.read_text(encoding="utf-8")


def test_a_package_by_its_name_and_its_place_is_that_of_the_place(root: Path, taken: Take) -> None:
    project(root / "libs" / "foo", "company-foo")
    wheel(root / "libs", "acme", "3.0")
    kept = taken(
        "torch==2.0.1", "company-foo @ ./libs/foo", "acme @ file:libs/acme-3.0-py3-none-any.whl", modules="torch acme"
    )
    text = lock_of(kept)
    assert re.search(r"^# package: company-foo @, content: \w+\n-e \./libs/foo$", text, re.MULTILINE)
    assert re.search(r"^# package: acme 3\.0, content: \w+\n\./libs/acme-3\.0-py3-none-any\.whl", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("acme @ ./gone", r"line 4: acme @ \./gone: no such file or folder\. Correct the path"),
        (
            "numpy @ file:///croot/numpy_1/work",
            r"line 4: numpy @ file:///croot/numpy_1/work: .*`pip list --format=freeze`",
        ),
    ],
)
def test_a_place_that_is_not_here_is_told(taken: Take, line: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        taken("torch==2.0.1", line)


def test_a_place_for_another_machine_need_not_be_here(tmp_path: Path) -> None:
    gathered = Gathered(root=tmp_path, python="3.11")
    gathered.lines("acme @ file:///gone ; sys_platform == 'win32'\n", folder=tmp_path, where="reqs.txt")
    assert [str(each.requirement.marker) for each in gathered.wanted] == ['sys_platform == "win32"']


def test_hashes_are_those_of_the_line_that_holds_here(index: Path, taken: Take) -> None:
    cpu, plain = (f"torch-{version}-py3-none-any.whl" for version in ("2.1.0+cpu", "2.1.0"))
    here, there = hash_of(index / cpu), hash_of(index / plain)
    again = "--hash=sha256:" + "0" * 64
    text = lock_of(
        taken(
            f"torch==2.1.0+cpu ; sys_platform != 'win32' {here}",
            f"torch==2.1.0 ; sys_platform == 'win32' {there}",
            f"torch==2.1.0+cpu {again}",
        )
    )
    assert here in text
    assert again in text
    assert there not in text
    both = lock_of(taken(f"torch==2.1.0+cpu {here}", f"torch==2.1.0 {there}", file="both.txt"))
    assert here in both
    assert there not in both, "the hash of the version that has no local part"


_PROJECT = '[project]\nname = "app"\nversion = "1"\ndependencies = ["torch==2.0.1"]\n'


@pytest.mark.parametrize("table", ["tool.uv.pip", "tool.uv"])
def test_the_settings_of_a_project_below_the_root_count_to_the_end(
    root: Path, index: Path, notes: list[str], table: str
) -> None:
    (root / "svc").mkdir()
    (root / "svc" / "wheels").symlink_to(index)
    path = root / "svc" / "pyproject.toml"
    override = '[tool.uv]\noverride-dependencies = ["numpy==1.24.3"]\n'
    links = 'no-index = true\nfind-links = ["wheels"]\n'
    settings = f"{override}{links}" if table == "tool.uv" else f"{override}[tool.uv.pip]\n{links}"
    path.write_text(f"{_PROJECT}{settings}", encoding="utf-8")
    text = lock_of(taken_from(root, path, notes))
    assert (pins_of(text)["torch"], pins_of(text)["numpy"]) == ("2.0.1", "1.24.3")
    assert "--no-index\n" in text
    assert "--find-links " in text


def test_where_a_project_has_its_packages_from(root: Path) -> None:
    path = root / "svc" / "pyproject.toml"
    path.parent.mkdir()
    path.write_text(
        f'{_PROJECT}[tool.uv]\nextra-index-url = ["https://b/"]\n[tool.uv.pip]\nindex-url = "https://a/"\n'
        '[[tool.uv.index]]\nname = "c"\nurl = "https://c/"\n[[tool.uv.index]]\nurl = "flat"\nformat = "flat"\n',
        encoding="utf-8",
    )
    given = read(root, source_of(str(path)), python="3.11")
    assert list(map(str, given.options)) == [
        "--extra-index-url https://c/",
        f"--find-links {path.parent / 'flat'}",
        "--index-url https://a/",
        "--extra-index-url https://b/",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'dependencies = [\n  "torch ^2.0",\n]',
            r"pyproject\.toml, dependencies, line 4: 'torch \^2\.0' is no requirement",
        ),
        ('dependencies = "torch"', r"pyproject\.toml, dependencies: 'torch' is no list\. Write it like"),
    ],
)
def test_a_dependency_of_a_project_that_cannot_be_read_is_told(root: Path, text: str, told: str) -> None:
    path = root / "pyproject.toml"
    path.write_text(f'[project]\nname = "app"\n{text}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        read(root, source_of(str(path)), python="3.11")
