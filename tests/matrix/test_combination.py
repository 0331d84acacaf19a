"""Combinations: requirements files with a Python version, and what is told of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench.errors import UsageError
from harness.bench.places import find_root
from harness.matrix.combination import extended, extensions, names, origin, own_names, parse, read
from harness.matrix.locks import lock, lock_path, read_lock
from harness.matrix.places import own_folder

ROOT = Path(__file__).resolve().parents[2]
PATH = Path("matrices/x.in")

TEXT = """\
# python: 3.11
# A comment of one's own.
torch==2.0.1

onnx==1.14.0  # why this one
TensorFlow_CPU==2.13.0 ; python_version >= "3.9"
numpy>=1.24,<2
torchvision[extra]==0.15.*
own @ https://example.org/own.whl#sha256=00
"""


def test_a_file_becomes_a_combination() -> None:
    combination = parse("x", PATH, TEXT)
    assert (combination.name, combination.python, len(combination.requirements)) == ("x", "3.11", 6)
    assert combination.pins == {"onnx": "1.14.0", "tensorflow-cpu": "2.13.0", "torch": "2.0.1"}
    assert combination.requirements[-1].url == "https://example.org/own.whl#sha256=00"


@pytest.mark.parametrize(
    "text", ["torch==2.0.1\n", "", "# python 3.11\n", "# python: 3\n", "# python: 3.11.4\n", "# python: 2.7\n"]
)
def test_a_file_without_a_python_version_is_told(text: str) -> None:
    with pytest.raises(UsageError, match=r"x.in: no Python version. Its first line must be like `# python: 3.11`"):
        parse("x", PATH, text)


def test_a_python_that_the_bench_does_not_run_on_is_told() -> None:
    with pytest.raises(UsageError, match=r"x\.in: Python 3\.9 is too old: the bench runs on Python 3\.10 and later"):
        parse("x", PATH, "# python: 3.9\ntorch==2.0.1\n")


@pytest.mark.parametrize("line", ["torch=2.0.1", "torch==", "==2.0.1", "torch==2.0.1 onnx"])
def test_a_pin_that_is_no_requirement_is_told_with_its_line(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse("x", PATH, f"# python: 3.11\n\nonnx==1.14.0\n{line}\n")
    assert f"matrices/x.in, line 4: '{line}' is no requirement" in str(caught.value)
    assert "Write it like `torch==2.1.0`" in str(caught.value)


def test_options_addresses_and_what_is_on_this_machine_are_kept() -> None:
    lines = ["--extra-index-url https://x/simple", "-f ../wheels", "-e ./pkg[fast]", "./torch.whl", "torch==2.1.0 \\"]
    combination = parse("x", PATH, "\n".join(["# python: 3.11", *lines, "    --hash=sha256:00"]))
    assert [str(option) for option in combination.options] == [
        "--extra-index-url https://x/simple",
        "--find-links ../wheels",
    ]
    assert [(each.target, each.extras, each.editable) for each in combination.directs] == [
        ("./pkg", "[fast]", True),
        ("./torch.whl", "", False),
    ]
    assert combination.pins == {"torch": "2.1.0"}


def test_an_option_that_is_not_known_is_told_with_its_line() -> None:
    with pytest.raises(UsageError, match=r"x\.in, line 2: the option '--frobnicate' is not known\. Take it away"):
        parse("x", PATH, "# python: 3.11\n--frobnicate yes\n")


def test_the_root_is_found_from_inside(tmp_path: Path) -> None:
    (tmp_path / "matrices").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_root(tmp_path / "a" / "b") == tmp_path
    assert find_root(tmp_path) == tmp_path


def test_where_there_are_no_matrices_the_folder_itself_is_the_root(tmp_path: Path) -> None:
    assert find_root(tmp_path) == tmp_path


def test_what_is_kept_between_commands_is_nobodys_to_commit(tmp_path: Path) -> None:
    assert own_folder(tmp_path / "repository") == tmp_path / "repository" / ".harness"
    assert (tmp_path / "repository" / ".harness" / ".gitignore").read_text() == "*\n"


def test_a_repository_has_the_combinations_of_the_harness_and_its_own_come_first(tmp_path: Path) -> None:
    assert "torch2.1" in names(tmp_path)
    assert own_names(tmp_path) == []
    assert origin(tmp_path, "torch2.1").endswith("comes with the harness: there is no matrices/torch2.1.in here")
    assert read_lock(tmp_path, read(tmp_path, "torch2.1")).path == lock_path(ROOT, "torch2.1")
    with pytest.raises(
        UsageError, match=r"comes with the harness, and is locked. `harness init --from torch2.1` copies"
    ):
        lock(tmp_path, read(tmp_path, "torch2.1"))
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "torch2.1.in").write_text("# python: 3.11\ntorch==2.1.2\n")
    (tmp_path / "matrices" / "torch2.0+mine.in").write_text("# python: 3.11\n-r torch2.0.in\nonnxslim==0.1.98\n")
    assert own_names(tmp_path) == ["torch2.1"]
    assert read(tmp_path, "torch2.1").pins == {"torch": "2.1.2"}
    assert origin(tmp_path, "torch2.1") == (
        "torch2.1 is matrices/torch2.1.in here, and not the one of that name that comes with the harness"
    )
    with pytest.raises(UsageError, match=r"torch2\.1 has no lock"):
        read_lock(tmp_path, read(tmp_path, "torch2.1"))
    assert extensions(tmp_path, "torch2.1") == [], "those of the harness extend another torch2.1"
    assert {"mine", "tools"} <= set(extensions(tmp_path, "torch2.0"))
    assert read(tmp_path, "torch2.0+mine").pins["torch"] == "2.0.1"
    assert lock_path(tmp_path, "torch2.0+mine") == tmp_path / "matrices" / "locks" / "torch2.0+mine.txt"


def test_in_a_checkout_its_combinations_are_its_own() -> None:
    assert own_names(ROOT) == names(ROOT)
    assert origin(ROOT, "torch2.1") == ""


def test_an_unknown_combination_is_told_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "matrices").mkdir()
    with pytest.raises(UsageError, match=r"unknown combination 'x'\. There are: torch2\.0, torch2\.1, torch2\.9\."):
        read(tmp_path, "x")
    (tmp_path / "matrices" / "production.in").write_text(TEXT, encoding="utf-8")
    assert own_names(tmp_path) == ["production"]
    with pytest.raises(UsageError, match=r"unknown combination 'prod'\. Did you mean 'production'\?"):
        read(tmp_path, "prod")


@pytest.mark.parametrize("name", names(ROOT))
def test_every_committed_combination_reads(name: str) -> None:
    combination = read(ROOT, name)
    assert "torch" in combination.pins
    assert str(combination.path) == f"matrices/{name}.in"


def test_an_extension_is_its_combination_and_more(tmp_path: Path) -> None:
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "x.in").write_text("# python: 3.11\ntorch==2.0.1\n", encoding="utf-8")
    more = tmp_path / "matrices" / "x+tools.in"
    more.write_text("# python: 3.11\n-r x.in\nonnxslim==0.1\n", encoding="utf-8")
    assert own_names(tmp_path) == ["x"]
    assert extensions(tmp_path, "x") == ["tools"]
    assert read(tmp_path, extended("x", "tools")).pins == {"onnxslim": "0.1", "torch": "2.0.1"}
    assert extended("x", "") == "x"
    more.write_text("# python: 3.11\n-r x+tools.in\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"x\+tools.in: it includes itself"):
        read(tmp_path, "x+tools")
    more.write_bytes(b"# python: 3.11\n\xff\n")
    with pytest.raises(UsageError, match=r"x\+tools.in: cannot be read as UTF-8 text"):
        read(tmp_path, "x+tools")
    more.write_text("# python: 3.12\n-r x.in\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"x\+tools.in: Python 3.12, and x.in is for 3.11"):
        read(tmp_path, "x+tools")
