"""A user's own code: what a model imports of it, how it becomes importable, and what is told where it is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.bench import own_code
from harness.bench.errors import UsageError
from harness.bench.places import CODE
from harness.bench.plan import split_models
from harness.bench.registry import discover

MODEL = """
from harness.bench import Model

MODEL = Model(summary={summary}, family="own", build=dict, example=dict, probes={{"other": dict}})
"""


def _written(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _model(head: str, summary: str = '""') -> str:
    return head + "\n" + MODEL.format(summary=summary)


def test_the_modules_that_a_file_imports_are_found_wherever_it_does(tmp_path: Path) -> None:
    _written(
        tmp_path,
        {
            "models/mine.py": "def build():\n    from net import Net\n    import torch, shared.layers.attention\n",
            "models/net.py": "from helpers import *\nimport net\n",
            "models/helpers.py": "import mine\n",
            "models/unused.py": "",
            "lib/shared/__init__.py": "from . import sizes\n",
            "lib/shared/sizes.py": "",
            "lib/shared/unused.py": "",
            "lib/shared/layers/attention.py": "from ..sizes import WIDE\nfrom ..blocks import block\n",
            "lib/shared/blocks/block.py": "",
        },
    )
    found = own_code.modules_of(tmp_path / "models" / "mine.py", [tmp_path / "lib"])
    assert {name: str(path.relative_to(tmp_path)) for name, path in found.items()} == {
        "helpers": "models/helpers.py",
        "net": "models/net.py",
        "shared": "lib/shared/__init__.py",
        "shared.blocks.block": "lib/shared/blocks/block.py",
        "shared.layers.attention": "lib/shared/layers/attention.py",
        "shared.sizes": "lib/shared/sizes.py",
    }
    assert set(own_code.modules_of(tmp_path / "models" / "mine.py")) == {"helpers", "net"}
    assert own_code.others_of(tmp_path / "models" / "mine.py", [tmp_path / "lib"]) == {"torch"}
    assert own_code.others_of(tmp_path / "models" / "mine.py") == {"torch", "shared"}


def test_what_is_imported_of_others_is_followed_through_what_is_theirs(tmp_path: Path) -> None:
    _written(
        tmp_path,
        {
            "mine.py": "import json, numpy\nfrom lib.layers import Block\ndef build():\n    import torch, other\n",
            "lib/layers.py": "from . import deep\nfrom .deep import x\nimport einops.layers\n",
            "lib/deep.py": "import cv2\nraise SystemExit\n",
            "lib/unused.py": "import never\n",
            "more/other.py": "import yaml\n",
            "unparsable.py": "def (:\n",
        },
    )
    assert own_code.others_of(tmp_path / "mine.py") == {"numpy", "torch", "einops", "cv2", "other"}
    assert own_code.others_of(tmp_path / "mine.py", [tmp_path / "more"]) == {"numpy", "torch", "einops", "cv2", "yaml"}
    assert own_code.others_of(tmp_path / "unparsable.py") == set()


def test_a_digest_follows_the_code_and_not_its_place(tmp_path: Path) -> None:
    files = {"mine.py": "def build():\n    import net\n", "net.py": "import sizes\n", "sizes.py": "WIDE = 1\n"}
    digests = []
    for name in ("one", "other"):
        _written(tmp_path / name, files)
        digests.append(own_code.digest_of(tmp_path / name / "mine.py"))
    assert digests[0] == digests[1]
    _written(tmp_path / "other", {"unused.py": "WIDE = 3\n"})
    assert own_code.digest_of(tmp_path / "other" / "mine.py") == digests[0]
    _written(tmp_path / "other", {"sizes.py": "WIDE = 22\n"})
    assert own_code.digest_of(tmp_path / "other" / "mine.py") != digests[0]


def test_a_digest_follows_what_a_file_in_the_grammar_of_another_python_imports(tmp_path: Path) -> None:
    newer = "from layers import (\n    Wide,  # the first\n    Deep,\n)\ntype X =\nif True:\n    import sizes; x = 1\n"
    _written(tmp_path, {"mine.py": "def build():\n    import net\n", "net.py": newer})
    _written(tmp_path, {"layers.py": "", "sizes.py": ""})
    before = own_code.digest_of(tmp_path / "mine.py")
    assert set(own_code.modules_of(tmp_path / "mine.py")) == {"net", "layers", "sizes"}
    _written(tmp_path, {"layers.py": "WIDE = 3\n"})
    assert own_code.digest_of(tmp_path / "mine.py") != before


def test_a_model_that_is_called_like_the_library_that_it_imports_is_no_module_of_that_name(tmp_path: Path) -> None:
    _written(tmp_path, {"timm.py": "def build():\n    from timm import create_model\nMODEL = 1\n"})
    _written(tmp_path, {"net.py": "def build():\n    import timm, layers\n", "layers.py": ""})
    assert own_code.others_of(tmp_path / "timm.py") == {"timm"}
    assert own_code.others_of(tmp_path / "net.py") == {"timm"}


def test_a_package_that_is_installed_from_here_counts_as_theirs(tmp_path: Path) -> None:
    """In an environment with one package that is installed editable, one from a folder, and one from an index."""
    _written(
        tmp_path,
        {
            "model/mine.py": "def build():\n    import edited.net, copied, bought\n",
            "src/edited/__init__.py": "",
            "src/edited/net.py": "WIDE = 1\n",
            "site-packages/edited.pth": str(tmp_path / "src"),
            "site-packages/copied/__init__.py": "WIDE = 1\n",
            "site-packages/copied-1.0.dist-info/METADATA": "Name: copied\nVersion: 1.0\n",
            "site-packages/copied-1.0.dist-info/RECORD": "copied/__init__.py,,\n",
            "site-packages/copied-1.0.dist-info/direct_url.json": '{"url": "file:///somewhere", "dir_info": {}}',
            "site-packages/bought.py": "WIDE = 1\n",
            "site-packages/bought-1.0.dist-info/METADATA": "Name: bought\nVersion: 1.0\n",
            "site-packages/bought-1.0.dist-info/RECORD": "bought.py,,\n",
        },
    )
    script = (
        f"import site, sys; sys.path.insert(0, {str(CODE)!r}); from pathlib import Path\n"
        f"site.addsitedir({str(tmp_path / 'site-packages')!r})\n"
        "from harness.bench.own_code import modules_of\n"
        f"print(sorted(modules_of(Path({str(tmp_path / 'model' / 'mine.py')!r}), installed=True)))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], cwd="/", capture_output=True, text=True, check=False)
    assert done.stdout == "['copied', 'edited', 'edited.net']\n", done.stderr
    assert own_code.modules_of(tmp_path / "model" / "mine.py") == {}


def test_a_package_of_theirs_may_be_called_as_the_zoo(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    _written(
        tmp_path,
        {"mine.py": "def build():\n    from model_zoo import net, _digits\n", "model_zoo/net.py": "WIDE = 1\n"},
    )
    before = own_code.digest_of(file)
    assert set(own_code.modules_of(file)) == {"model_zoo.net"}
    assert own_code.others_of(file) == set()
    _written(tmp_path, {"model_zoo/net.py": "WIDE = 2\n"})
    assert own_code.digest_of(file) != before
    assert own_code.modules_of(file, [CODE]).keys() == {"model_zoo.net"}, "the harness's own zoo is nobody's code"


def test_such_a_package_can_be_imported(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    _written(
        tmp_path, {"model_zoo/net.py": "NAME = 'net'\n", "mine.py": _model("from model_zoo.net import NAME", "NAME")}
    )
    assert discover(models=[file]).models["mine"].declared.summary == "net"
    _written(tmp_path, {"model_zoo/__init__.py": "", "model_zoo/net.py": "NAME = 'other'\n"})
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with_zoo = discover(models=[file], with_zoo=True).models
    assert with_zoo["mine"].declared.summary == "other"
    assert with_zoo["digits-cnn"].value is not None


def test_the_file_of_an_installed_module_is_found_without_importing_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package of an entry point is a user's code: it runs in no command's own process."""
    ran = tmp_path / "ran"
    _written(
        tmp_path / "site",
        {
            "theirs/__init__.py": f"open({str(ran)!r}, 'w')\n",
            "theirs/zoo.py": "",
            "theirs/more/__init__.py": "",
            "theirs-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n",
            "theirs-1.0.dist-info/entry_points.txt": (
                "[harness.models]\nmine = theirs.zoo\nmore = theirs.more\nlost = theirs.lost\nnone = nothing.here\n"
            ),
        },
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    site = tmp_path / "site"
    assert split_models(["entry-point:mine", "entry-point:more"])[0] == [
        site / "theirs" / "zoo.py",
        site / "theirs/more",
    ]
    for name in ("lost", "none"):
        with pytest.raises(UsageError, match=f"entry point '{name}': no module '.*' is installed here"):
            split_models([f"entry-point:{name}"])
    assert not ran.exists()
    assert "theirs" not in sys.modules


def test_data_of_a_package_that_is_installed_from_here_is_as_good_as_code(tmp_path: Path) -> None:
    """Whether the model's file lies outside the package or in it."""
    _written(
        tmp_path,
        {
            "model/mine.py": "def build():\n    import edited.net\n",
            "src/edited/__init__.py": "",
            "src/edited/net.py": "WIDE = 1\n",
            "src/edited/inside.py": "def build():\n    from edited import net\n",
            "src/edited/data/labels.json": "[1]",
            "site-packages/edited.pth": str(tmp_path / "src"),
        },
    )
    files = [str(tmp_path / "model" / "mine.py"), str(tmp_path / "src" / "edited" / "inside.py")]
    script = (
        f"import site, sys; sys.path.insert(0, {str(CODE)!r}); from pathlib import Path\n"
        f"site.addsitedir({str(tmp_path / 'site-packages')!r})\n"
        "from harness.bench.own_code import digest_of\n"
        f"print(*[digest_of(Path(file), installed=True) for file in {files!r}])"
    )

    def digests() -> list[str]:
        command = [sys.executable, "-I", "-c", script]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    before = digests()
    _written(tmp_path, {"src/edited/__pycache__/net.pyc": "1"})
    assert digests() == before
    _written(tmp_path, {"src/edited/data/labels.json": "[2]"})
    assert not set(before) & set(digests())


def test_each_file_has_the_modules_of_its_own_folder(tmp_path: Path) -> None:
    for name in ("one", "other"):
        _written(
            tmp_path / name,
            {f"{name}.py": _model("from net import NAME", "NAME"), "net.py": f"import sys\nNAME = {name!r}\n"},
        )
    registry = discover(models=[tmp_path / "one" / "one.py", tmp_path / "other" / "other.py"])
    assert [entry.declared.summary for entry in registry.models.values()] == ["one", "other"]


def test_a_file_that_is_part_of_a_package_imports_from_it(tmp_path: Path) -> None:
    _written(
        tmp_path,
        {
            "src/mine/__init__.py": "",
            "src/mine/net.py": "NAME = 'a net'\n",
            "src/mine/models/__init__.py": "",
            "src/mine/models/small.py": _model("from ..net import NAME\nimport mine.net\nfrom . import sizes", "NAME"),
            "src/mine/models/sizes.py": "",
        },
    )
    path = tmp_path / "src" / "mine" / "models" / "small.py"
    assert discover(models=[path]).models["small"].declared.summary == "a net"
    assert set(own_code.modules_of(path)) == {"mine", "mine.net", "mine.models", "mine.models.sizes"}
    installed = tmp_path / "site-packages"
    (tmp_path / "src").rename(installed)
    path = installed / "mine" / "models" / "small.py"
    assert set(own_code.modules_of(path)) == {"mine", "mine.net", "mine.models", "mine.models.sizes"}
    assert own_code.roots_of(path) == (installed / "mine" / "models",), "nothing else that is installed there"


def test_folders_of_path_are_importable_and_have_to_be_there(tmp_path: Path) -> None:
    _written(tmp_path, {"models/mine.py": _model("from layers import NAME", "NAME"), "lib/layers.py": "NAME = 'l'\n"})
    files = [tmp_path / "models" / "mine.py"]
    assert discover(models=files, paths=[tmp_path / "lib"]).models["mine"].declared.summary == "l"
    with pytest.raises(UsageError, match=r"lob: no such folder to import from \(--path\)"):
        discover(models=files, paths=[tmp_path / "lob"])


def test_nothing_of_theirs_comes_before_what_is_installed(tmp_path: Path) -> None:
    _written(tmp_path, {"mine.py": _model("import filelock", "filelock.__name__"), "filelock.py": "raise OSError\n"})
    assert discover(models=[tmp_path / "mine.py"]).models["mine"].declared.summary == "filelock"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"mine.py": "MODEL = = 3\n"}, "mine.py:1: SyntaxError: invalid syntax (mine.py, line 1)"),
        (
            {"mine.py": MODEL.format(summary="'', exampel=1")},
            "mine.py:4: TypeError: Model.__init__() got an unexpected",
        ),
        ({"mine.py": MODEL.format(summary="'', exampel=1")}, "'exampel'. Did you mean 'example'?"),
        ({"mine.py": MODEL.format(summary="'', zzz=1")}, "'zzz'. Model takes: summary, family, build, example"),
        (
            {"mine.py": "from harness.bench import Model\nMODEL = Model(summary='', family='')\n"},
            "Give 'build', 'example', and 'probes' to Model(…); `harness new-model NAME` writes a file",
        ),
        (
            {"mine.py": _model("import torch_like")},
            (
                "mine.py:1: ModuleNotFoundError: No module named 'torch_like'. Files of models are read outside of the "
                "environments that they run in, without any framework: import torch_like, or what imports it, inside "
                "build() and the other functions. If torch_like is your own, name the folder that it lies in by --path"
            ),
        ),
        ({"mine.py": _model("import net"), "net.py": "\nimport torch_like\n"}, "net.py:2: ModuleNotFoundError"),
        (
            {"mine.py": _model("from .net import x"), "net.py": ""},
            "put an empty __init__.py beside it, or import by name",
        ),
        (
            {"mine.py": _model("from filelock import Net"), "filelock.py": "Net = 1\n"},
            "which comes before your own {folder}/filelock.py: rename yours",
        ),
        (
            {"mine.py": _model("import code\ncode.net()"), "code/__init__.py": ""},
            "'code' is the standard library's here, which comes before your own {folder}/code: rename yours",
        ),
        ({"mine.py": _model("raise OSError('no\\ndisk')")}, "mine.py:1: OSError: no disk"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place_and_remedy(
    tmp_path: Path, files: dict[str, str], told: str
) -> None:
    _written(tmp_path, files)
    with pytest.raises(UsageError) as caught:
        discover(models=[tmp_path / "mine.py"], strict=True)
    assert told.format(folder=tmp_path) in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


def test_all_wrong_files_are_told_at_once(tmp_path: Path) -> None:
    _written(
        tmp_path,
        {
            "a.py": "MODEL = = 3\n",
            "b.py": "MODELL = 3\n",
            "c.py": _model(""),
            "d.py": "import os\nMODEL = os._exit(1)\n",
        },
    )
    with pytest.raises(UsageError) as caught:
        discover(models=[tmp_path / f"{name}.py" for name in "abcd"], strict=True)
    lines = str(caught.value).splitlines()
    assert [line.partition(".py")[0] for line in lines] == [str(tmp_path / name) for name in "abd"]


def test_a_file_that_bears_a_zoo_models_name_is_told_apart(tmp_path: Path) -> None:
    _written(tmp_path, {"lstm.py": _model("", "'mine'"), "other.py": _model("")})
    assert list(discover(models=[tmp_path]).models) == ["own:lstm", "other"]
    both = discover(models=[tmp_path], with_zoo=True).models
    assert (both["own:lstm"].own, both["lstm"].own) == (True, False)
    assert both["lstm"].digest == discover().models["lstm"].digest
