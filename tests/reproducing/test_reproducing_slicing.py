"""What a script takes of a model's file, and what it refuses."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from harness.bench import own_code
from harness.bench.places import ZOO
from harness.reproducing.facts import NotReproducibleError
from harness.reproducing.slicing import Slice, Slicer

HEAD = """
from __future__ import annotations
from typing import Any
from harness.bench import Inputs, Model, integers, uniform
"""


def sliced(folder: Path, text: str, *arguments: str) -> tuple[Slice, list[str | None]]:
    """The slice of a user's file for calls of what MODEL was given as `arguments`, and these calls."""
    file = folder / "mine.py"
    file.write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
    slicer = Slicer(file, own_code.modules_of(file), own=True)
    calls = [slicer.called(each) for each in arguments]
    return slicer.sliced(), calls


def test_only_what_is_needed_is_taken_as_it_is_written(tmp_path: Path) -> None:
    found, calls = sliced(
        tmp_path,
        '''
        import math
        WIDTH, DEPTH = 4, 2
        UNUSED = math.pi

        def layer() -> Any:
            """One layer."""
            from torch import nn

            width = WIDTH  # as wide as it is
            return nn.Linear(width, width)

        def unused() -> Any:
            return UNUSED

        def build() -> Any:
            return layer()

        def rows(seed: str, batch: int = 2) -> Inputs:
            return {"x": uniform((batch, WIDTH), seed=seed)}

        MODEL = Model(summary="mine", family="mine", build=build, example=lambda: rows("example"), probes={})
        ''',
        "build",
        "example",
    )
    assert calls == ["build()", 'rows("example")']
    text = "\n".join(found.definitions)
    assert "WIDTH, DEPTH = 4, 2" in text
    assert "width = WIDTH  # as wide as it is" in text
    assert "def rows(seed: str, batch: int = 2):" in text  # Inputs is the harness's
    assert not [word for word in ("unused", "UNUSED", "MODEL") if word in text]
    assert list(found.imports) == ["from typing import Any"]
    assert found.pieces == {"uniform"}
    assert text.index("def layer") < text.index("def build")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        ("from net import Net\n    return Net()", "your own module net"),
        ("import net.deep as deep\n    return deep.Net()", "your own module net"),
        ("import torch\n    return torch.load('weights.pt')", "loads something by load()"),
        ("return open('x').read()", "loads something by open()"),
        ("return __file__", "reads files beside it"),
        ("return '/usr/lib/mine.bin'", "names a path of this machine"),
        ("from harness.bench import uniform\n    return uniform", "which no script has"),
        ("return '/mnt/not-here/mine.bin'", "names a path of this machine"),
        ("import os\n    return os.path.join('/not-here', 'w')", "names a path of this machine"),
        ("import pandas\n    return pandas.read_csv(NAME)", "loads something by read_csv()"),
        ("import numpy\n    return numpy.genfromtxt(NAME)", "loads something by genfromtxt()"),
        ("from urllib.request import urlretrieve\n    return urlretrieve(NAME)", "loads something by urlretrieve()"),
        ("return 'https://user:secret@files.example.com/w'", "line 6: it has an address"),
        ("# see http://wiki/models\n    return 1", "line 6: it has an address"),
        ("return harness.bench.uniform((2, 2))", "it needs harness.bench as a module"),
        ("return bench.uniform((2, 2))", "it needs harness.bench as a module"),
    ],
)
def test_what_others_do_not_have_is_refused_with_its_line(tmp_path: Path, build: str, words: str) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "__init__.py").write_text("class Net: ...\n", encoding="utf-8")
    (tmp_path / "net" / "deep.py").write_text("class Net: ...\n", encoding="utf-8")
    modules = "import harness.bench\nimport harness.bench as bench\n" if "bench.uniform(" in build else ""
    text = f"{modules}def build() -> Any:\n    {build}\n\nMODEL = Model(build=build)\n"
    with pytest.raises(NotReproducibleError, match="line") as raised:
        sliced(tmp_path, text, "build")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "build",
    [
        "lambda: nn.Sequential(\n    nn.Linear(8, 8),  # the first\n    nn.ReLU(),\n)",
        "lambda: nn.Linear(8, 8)  # the only one\n    .float()",
        "lambda: (\n    nn.Linear(8, 8)  # small\n    if SMALL\n    else nn.Linear(64, 64)\n)",
        "lambda: nn.Linear(8, 8) if SMALL else nn.Linear(64, 64)",
        'lambda: named(\n    """a text\n  of two lines"""\n)',
        "make(\n    8,  # wide\n)",
        "make if SMALL else named",
    ],
)
def test_a_call_keeps_its_lines_and_can_go_on(tmp_path: Path, build: str) -> None:
    text = f"from torch import nn\nSMALL = True\nMODEL = Model(build={build}, example=dict)\n"
    _, (call,) = sliced(tmp_path, text, "build")
    assert call is not None
    ((statement,), node) = ast.parse(f"model = {call}.eval()").body, ast.parse(f"({build}\n)", mode="eval").body
    assert isinstance(statement, ast.Assign)
    assert isinstance(statement.value, ast.Call)
    assert isinstance(statement.value.func, ast.Attribute)
    expected = node.body if isinstance(node, ast.Lambda) else ast.Call(func=node, args=[], keywords=[])
    assert ast.dump(statement.value.func.value) == ast.dump(expected)


def test_an_own_module_that_nothing_needed_imports_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("X = 1\n", encoding="utf-8")
    text = "from net import X\ndef build() -> Any:\n    return 1\nMODEL = Model(build=build, gains={'a': X})\n"
    found, _ = sliced(tmp_path, text, "build")
    assert not found.imports or list(found.imports) == ["from typing import Any"]


def test_a_name_like_a_device_is_no_path(tmp_path: Path) -> None:
    sliced(tmp_path, "def build() -> Any:\n    return '/device:CPU:0'\n\nMODEL = Model(build=build)\n", "build")


@pytest.mark.parametrize("text", ["MODEL = make()\n", "MODEL = Model(1, 2)\n", "MODEL = Model(**{})\n"])
def test_a_declaration_that_cannot_be_followed_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotReproducibleError, match="MODEL is not written as"):
        sliced(tmp_path, text)


@pytest.mark.parametrize("path", sorted(ZOO.glob("[!_]*.py")), ids=lambda path: str(path.stem))
def test_a_model_of_the_zoo_is_sliced_or_refused_for_its_files(path: Path) -> None:
    slicer = Slicer(path, {}, own=False)
    if path.stem.startswith(("digits_cnn", "triton")):
        with pytest.raises(NotReproducibleError, match=r"reads files|loads something|which no script has"):
            [slicer.called("build"), slicer.called("example")]
        return
    calls = [slicer.called("build"), slicer.called("example"), slicer.called("twin")]
    found = slicer.sliced()
    whole = "\n".join([*found.imports, *found.definitions, *filter(None, calls)])
    tree = ast.parse(whole)
    assert "harness" not in whole.replace("conversion_harness", "") or path.stem.startswith("triton")
    defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert defined
