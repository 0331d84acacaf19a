"""What models import and who provides it, and what each line of a requirements file asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench.errors import UsageError
from harness.matrix.requirements.lines import Direct, Include, Option, Wanted, parse_lines
from harness.matrix.requirements.needs import distributions_of, needed, provides


def _write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "names", "found"),
    [
        ("onnxruntime", ["onnxruntime"], ["onnxruntime"]),
        ("onnxruntime", ["onnxruntime-gpu", "onnx"], ["onnxruntime-gpu"]),
        ("tensorflow", ["tensorflow-cpu"], ["tensorflow-cpu"]),
        ("cv2", ["opencv-python-headless"], ["opencv-python-headless"]),
        ("sentence_transformers", ["sentence-transformers"], ["sentence-transformers"]),
        ("slugify", ["python-slugify"], ["python-slugify"]),
        ("nothing", ["torch"], []),
    ],
)
def test_who_provides_a_module(module: str, names: list[str], found: list[str]) -> None:
    assert distributions_of(module, names) == found


def test_what_changes_the_behaviour_of_what_is_tested_is_needed_though_nobody_imports_it() -> None:
    names = ["torch", "torchvision", "nvidia-cudnn-cu12", "triton", "fastapi", "numpy"]
    assert needed(["torch"], names) == ["numpy", "nvidia-cudnn-cu12", "torch", "torchvision", "triton"]


def test_a_project_provides_its_modules_from_either_layout(tmp_path: Path) -> None:
    _write(tmp_path / "flat", mypkg____init__="")
    _write(tmp_path / "src_layout", src__mypkg____init__="")
    assert provides(tmp_path / "flat", ["torch", "mypkg"])
    assert provides(tmp_path / "src_layout", ["mypkg"])
    assert not provides(tmp_path / "flat", ["torch"])
    for folder in ("flat/onnx", "flat/exported"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.onnx").touch()
    _write(tmp_path / "flat", torch__helpers="")
    assert not provides(tmp_path / "flat", ["exported", "onnx", "torch"]), "data, and what is tested"


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("-r base.txt", Include("-r", "base.txt")),
        ("--requirement=base.txt", Include("-r", "base.txt")),
        ("-rbase.txt", Include("-r", "base.txt")),
        ("-c bounds.txt  # why", Include("-c", "bounds.txt")),
        ("-i https://x/simple", Option("--index-url", "https://x/simple")),
        ("--extra-index-url=https://x/simple", Option("--extra-index-url", "https://x/simple")),
        ("--no-index", Option("--no-index")),
        ("--pre", Option("--pre")),
        ("-e .", Direct(".", editable=True)),
        ("-e ./pkg[a,b]", Direct("./pkg", "[a,b]", editable=True)),
        ("./pkg", Direct("./pkg")),
        ("wheels/own-1.0-py3-none-any.whl", Direct("wheels/own-1.0-py3-none-any.whl")),
        ("file:///x/own-1.0-py3-none-any.whl", Direct("file:///x/own-1.0-py3-none-any.whl")),
        ("git+https://x/own.git@main", Direct("git+https://x/own.git@main")),
        ("-e git+https://x/own.git", Direct("git+https://x/own.git")),
        ("https://x/own.tar.gz --hash=sha256:00", Direct("https://x/own.tar.gz", hashes=("sha256:00",))),
    ],
)
def test_what_a_line_asks_for(line: str, read: object) -> None:
    assert list(parse_lines(f"# head\n\n{line}\n", where="reqs.txt")) == [(3, read)]


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (
            "--pre --extra-index-url https://x/nightly",
            [Option("--pre"), Option("--extra-index-url", "https://x/nightly")],
        ),
        ("--no-index --find-links ./wheels", [Option("--no-index"), Option("--find-links", "./wheels")]),
        ("-f 'my wheels' --no-index", [Option("--find-links", "my wheels"), Option("--no-index")]),
        ("--prefer-binary --index-url=https://x/simple", [Option("--index-url", "https://x/simple")]),
        ("--trusted-host x -ihttps://x/simple", [Option("--index-url", "https://x/simple")]),
        ("-r my base.txt -c bounds.txt", [Include("-r", "my base.txt"), Include("-c", "bounds.txt")]),
        (
            '--pre -e "./my pkg"[a] ; python_version > "3"',
            [Option("--pre"), Direct("./my pkg", "[a]", editable=True, marker='python_version > "3"')],
        ),
    ],
)
def test_all_options_of_a_line_count(line: str, read: list[object]) -> None:
    assert list(parse_lines(line, where="reqs.txt")) == [(1, each) for each in read]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--pre torch", r"'torch' belongs to no option before it\. Write it on a line of its own"),
        ("-i https://x https://me:secret@y", r"'https://…@y' belongs to no option before it"),
        ("--no-index --extra-index-url --pre", r"the option '--extra-index-url' needs a value"),
        ("--pre --frobnicate", r"the option '--frobnicate' is not known"),
        ("-e ./pkg --config-settings x=y", r"the option '--config-settings' is not known"),
    ],
)
def test_what_no_option_takes_is_refused(line: str, told: str) -> None:
    with pytest.raises(UsageError, match=rf"reqs\.txt, line 1: {told}"):
        list(parse_lines(line, where="reqs.txt"))


def test_a_requirement_with_its_marker_extras_address_and_hashes() -> None:
    text = 'torch[opt]==2.1.0 ; python_version < "3.12" \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n'
    text += "own @ git+https://x/own.git@main  # ours\n--trusted-host x\n"
    (_, torch), (_, own) = parse_lines(text, where="reqs.txt")
    assert isinstance(torch, Wanted)
    assert isinstance(own, Wanted)
    assert str(torch.requirement) == 'torch[opt]==2.1.0; python_version < "3.12"'
    assert torch.hashes == ("sha256:00", "sha256:11")
    assert own.requirement.url == "git+https://x/own.git@main"
