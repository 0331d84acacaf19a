"""The `harness` command: what it prints, what it refuses, its exit codes, and that a refusal writes nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness import __version__, cli
from harness.bench.plan import Plan
from harness.bench.series import series_of
from harness.cli import reading
from harness.cli.storing import gate_command
from harness.tables.layout import CELLS, RUN
from harness.tables.schema import SCHEMA_VERSION, Table
from harness.tables.writing import write_table
from tests.tables.samples import failed, not_applicable, passed, table, write_attempt

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with two combinations, one of which has a lock for a Python that does not exist."""
    folder = tmp_path / "checkout"
    (folder / "matrices" / "locks").mkdir(parents=True)
    for name, python in (("small2.0", "3.99"), ("small2.1", "3.11")):
        (folder / "matrices" / f"{name}.in").write_text(f"# python: {python}\nsix==1.16.0\n", encoding="utf-8")
    head = "#    uv pip compile --python-version 3.99 --generate-hashes --output-file=x y\n"
    (folder / "matrices" / "locks" / "small2.0.txt").write_text(head + "six==1.16.0\n", encoding="utf-8")
    matrix = 'combinations = ["small2.0", "small2.1"]\ndevices = ["cpu"]\n'
    (folder / "matrices" / "nightly.toml").write_text(matrix, encoding="utf-8")
    return folder


def harness(root: Path, *arguments: str | Path) -> Result:
    """The command in this process."""
    return CliRunner().invoke(cli.cli, ["--root", str(root), *map(str, arguments)], prog_name="harness")


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def refused(root: Path, *arguments: str | Path, code: int = 2) -> str:
    """What the command says where it refuses, having written nothing."""
    before = _files(root)
    result = harness(root, *arguments)
    assert result.exit_code == code, result.output
    assert not result.stdout
    assert "Traceback" not in result.stderr
    assert _files(root) == before
    return result.stderr


def test_the_cells_of_a_plan(root: Path) -> None:
    result = harness(root, "plan", "small2.1", "--models", "resnet18", "--models", "lstm", "--strategies", "native")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == ["small2.1/lstm/native", "small2.1/resnet18/native"]


def test_a_plan_as_json(root: Path) -> None:
    result = harness(root, "plan", "--json", "--models", "lstm", "--strategies", "onnx-torchscript*")
    cells: list[dict[str, Any]] = json.loads(result.stdout)
    assert [cell["id"] for cell in cells] == [
        f"{combination}/lstm/onnx-torchscript{value}"
        for combination in ("small2.0", "small2.1")
        for value in ("", ":16")
    ]
    assert {(cell["device"], cell["model"]) for cell in cells} == {("cpu", "lstm")}


def test_the_quick_tier_has_every_path_and_at_least_nine_models(root: Path) -> None:
    cells = json.loads(harness(root, "plan", "small2.1", "--json").stdout)
    assert len({cell["model"] for cell in cells}) >= 9
    assert {"native", "onnx-torchscript", "onnx-dynamo", "manual-recreation"} <= {cell["strategy"] for cell in cells}
    assert len({cell["id"] for cell in cells}) == len(cells)


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["small20"], "unknown combination 'small20'. Did you mean 'small2.0'?"),
        (["--models", "resnet81"], "unknown model 'resnet81'. Did you mean 'resnet18'?"),
        (["--strategies", "natve"], "unknown strategy 'natve'. Did you mean 'native'?"),
        (["--strategies", "native:3"], "strategy 'native' takes no parameter"),
        (["--strategies", "onnx-torchscript:x"], "must be a whole number"),
        (["--tier", "huge"], "'huge' is not one of 'quick', 'core', 'full'"),
        (["--device", "tpu"], "'tpu' is not one of 'cpu', 'cuda', 'auto'"),
        (["--models", "./nothing.py"], "nothing.py: no such file or folder of models"),
        (["--models", "./nothing.py", "--models", "lstm"], "nothing.py: no such file or folder of models"),
        (["--models", "lstm", "--path", "./nothing"], "nothing: no such folder to import from (--path)"),
        (["--plugin-folder", "./nothing"], "no such plugin folder"),
        (["--matrix", "./nothing.toml"], "nothing.toml: no such matrix file"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_what_does_not_exist_is_told(root: Path, command: str, arguments: list[str], told: str) -> None:
    assert told in refused(root, command, *([] if arguments[0] == "small20" else ["small2.1"]), *arguments)


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_wrong_matrix_file_is_told_with_the_path_to_it(root: Path, command: str) -> None:
    (root / "matrices" / "nightly.toml").write_text(
        'combinations = ["small2.0"]\n[policy]\ntimeout = 1\n', encoding="utf-8"
    )
    told = refused(root, command)
    assert "nightly.toml: 'policy.timeout': no such key. Did you mean 'timeout_s'?" in told


def test_a_pin_that_is_no_requirement_is_told(root: Path) -> None:
    (root / "matrices" / "small2.1.in").write_text("# python: 3.11\nsix=1.16.0\n", encoding="utf-8")
    assert "small2.1.in, line 2: 'six=1.16.0' is no requirement" in refused(root, "plan", "small2.1")
    assert "is no requirement" in refused(root, "lock", "small2.1")


def test_a_users_file_without_model_is_told(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("MODELL = 3\n", encoding="utf-8")
    assert "mine.py: no MODEL in it" in refused(root, "plan", "small2.1", "--models", tmp_path / "mine.py")


def test_a_users_own_model_is_planned_whatever_its_tier(root: Path, tmp_path: Path) -> None:
    text = "from harness.bench import Model\n"
    text += "MODEL = Model(summary='', family='own', build=dict, example=dict, probes={}, tier='full')\n"
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    result = harness(root, "plan", "small2.1", "--models", tmp_path / "mine.py", "--strategies", "native")
    assert result.stdout.splitlines() == ["small2.1/mine/native"]


def test_a_matrix_file_names_folders_of_own_code_from_its_root(root: Path, tmp_path: Path) -> None:
    text = "from harness.bench import Model\nfrom layers import NAME\n"
    text += "MODEL = Model(summary=NAME, family='own', build=dict, example=dict, probes={})\n"
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    asked = ("plan", "small2.1", "--models", tmp_path / "mine.py", "--strategies", "native")
    told = refused(root, *asked)
    assert f"{tmp_path}/mine.py:2: ModuleNotFoundError: No module named 'layers'." in told
    assert "If layers is your own, name the folder that it lies in by --path DIR, or have it installed" in told
    (root / "src").mkdir()
    (root / "src" / "layers.py").write_text("NAME = 'layers'\n", encoding="utf-8")
    assert harness(root, *asked, "--path", root / "src").stdout.splitlines() == ["small2.1/mine/native"]
    matrix = root / "matrices" / "nightly.toml"
    matrix.write_text('paths = ["src"]\n' + matrix.read_text(encoding="utf-8"), encoding="utf-8")
    assert harness(root, *asked).stdout.splitlines() == ["small2.1/mine/native"]


def test_a_python_that_is_not_to_be_had_is_told_before_anything_is_built(root: Path) -> None:
    told = refused(root, "run", "small2.0")
    assert "small2.0 needs Python 3.99, which is neither installed nor to be had by uv" in told
    assert "Nothing was built." in told


def test_a_combination_without_a_lock_is_told(root: Path) -> None:
    assert "small2.1 has no lock. Run `harness lock small2.1`." in refused(root, "run", "small2.1")


def test_an_interpreter_that_cannot_run_the_bench_is_told(root: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    told = refused(root, "run", "--python", tmp_path / "bare" / "bin" / "python")
    assert "No module named 'pytest'" in told
    assert "pip install pytest pytest-benchmark filelock" in told
    assert "is no interpreter that can be started" in refused(root, "run", "--python", tmp_path / "nothing")
    assert "leave out small2.1, or leave out --python" in refused(root, "run", "small2.1", "--python", sys.executable)
    assert "cannot name a folder of results" in refused(root, "run", "--python", sys.executable, "--name", "a/b")


@pytest.mark.parametrize("place", ["file", "file/below", "linked", "/proc/tables"])
def test_a_folder_that_no_table_can_be_written_to_is_told_before_anything_runs(
    root: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "linked").symlink_to("file")
    asked = ("run", "--python", sys.executable, "--models", "lstm", "--strategies", "native", "--device", "cpu")
    told = refused(root, *asked, "--results", tmp_path / place)
    assert f"{Path(place).name}/ambient cannot be written: " in told
    assert "Name another folder by --results." in told


def test_no_network_when_locking(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DEFAULT_INDEX", "http://127.0.0.1:1/simple"), ("NO_CACHE", "1"), ("HTTP_RETRIES", "0")):
        monkeypatch.setenv(f"UV_{name}", value)
    requirements = root / "harness" / "bench" / "requirements.in"
    requirements.parent.mkdir(parents=True)
    requirements.write_text("iniconfig\n", encoding="utf-8")
    assert "the package index could not be reached" in refused(root, "lock", "small2.1", code=3)


def test_a_folder_without_matrices_is_a_repository_that_has_the_combinations_of_the_harness(tmp_path: Path) -> None:
    assert "name a combination (torch2.0, torch2.1, torch2.9), or write matrices/nightly.toml" in refused(
        tmp_path, "plan"
    )
    assert harness(tmp_path, "plan", "torch2.1", "--device=cpu").stdout.startswith("torch2.1/")
    assert not list(tmp_path.iterdir())


BASE = (passed("resnet18", "native"), passed("lstm", "native"), failed("vgg", "onnx-torchscript"))


@pytest.fixture
def results(root: Path) -> Path:
    """Where tables are."""
    return root / "results"


def _write(results: Path, made: Table) -> Path:
    return write_table(results, made)


@pytest.mark.parametrize(
    ("candidate", "values", "code"),
    [
        (BASE, {}, 0),
        ((*BASE[:2], passed("vgg", "onnx-torchscript")), {}, 0),
        ((passed("resnet18", "native"), failed("lstm", "native"), BASE[2]), {}, 1),
        (BASE[:2], {"missing": [("vgg", "onnx-torchscript")]}, 3),
        ((failed("resnet18", "native"), *BASE[1:2]), {"missing": [("vgg", "onnx-torchscript")]}, 1),
        ((not_applicable("resnet18", "native"), not_applicable("lstm", "native"), BASE[2]), {}, 1),
    ],
)
def test_the_gates_exit_codes(
    root: Path, results: Path, candidate: tuple[Any, ...], values: dict[str, Any], code: int
) -> None:
    _write(results, table(*BASE, combination="pins2.0"))
    folder = _write(results, table(*candidate, combination="pins2.1", **values))
    result = harness(root, "gate", "pins2.0", folder)
    assert "Traceback" not in result.stderr
    assert result.exit_code == code
    assert harness(root, "compare", "pins2.0", folder).exit_code == 0
    assert harness(root, "gate", "pins2.0", folder, "--markdown").exit_code == result.exit_code


def test_the_gate_is_the_same_as_a_process(root: Path, results: Path) -> None:
    _write(results, table(*BASE, combination="pins2.0"))
    _write(results, table(failed("resnet18", "native"), *BASE[1:], combination="pins2.1"))
    command = [sys.executable, "-m", "harness.cli", "--root", str(root), "gate", "pins2.0", "pins2.1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "newly failing" in done.stdout


def test_a_table_that_is_cut_short_is_refused(root: Path, results: Path) -> None:
    _write(results, table(*BASE, combination="pins2.0"))
    folder = _write(results, table(*BASE, combination="pins2.1"))
    lines = (folder / CELLS).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / CELLS).write_text("".join(lines[:-1]), encoding="utf-8")
    for command in ("compare", "gate", "show"):
        sides = ["pins2.1"] if command == "show" else ["pins2.0", "pins2.1"]
        assert "cut short, 2 rows where run.json says 3" in refused(root, command, *sides)


def test_a_table_of_a_newer_schema_is_refused(root: Path, results: Path) -> None:
    folder = _write(results, table(*BASE, combination="pins2.0"))
    run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    (folder / RUN).write_text(json.dumps({**run, "schema_version": SCHEMA_VERSION + 1}), encoding="utf-8")
    assert "upgrade the harness" in refused(root, "gate", "pins2.0", "pins2.0")


def test_a_table_that_is_not_there_is_told(root: Path, results: Path) -> None:
    _write(results, table(*BASE, combination="pins2.0"))
    assert "Did you mean 'pins2.0'?" in refused(root, "compare", "pins2.0", "pins20")
    assert "no table of 'pins2.0' for cuda-quick" in refused(root, "gate", "pins2.0", "pins2.0", "--device", "cuda")
    shutil.rmtree(results)
    assert "harness run" in refused(root, "gate", "pins2.0", "pins2.1")


def test_a_folder_that_is_not_the_benchs_is_told(root: Path, tmp_path: Path) -> None:
    assert "no attempt.json in it" in refused(root, "ingest", tmp_path)
    assert "no such folder" in refused(root, "ingest", tmp_path / "nothing")


def test_a_bug_of_ours_is_no_verdict(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(reading, "find_table", broken)
    result = harness(root, "gate", "pins2.0", "pins2.1")
    assert result.exit_code == 3
    assert "ZeroDivisionError" in result.stderr
    assert "this is a bug in the harness" in result.stderr


def test_version_and_help(root: Path) -> None:
    assert __version__ in harness(root, "--version").stdout
    told = harness(root, "-h").stdout
    for command in ("plan", "lock", "run", "ingest", "compare", "gate"):
        assert command in told
        assert harness(root, command, "--help").exit_code == 0


@pytest.mark.parametrize(
    ("values", "folder"),
    [
        ({}, "cpu-quick"),
        ({"models": "models/"}, "cpu-quick+models-models"),
        ({"selected": True}, "cpu-quick+selected"),
        ({"models": "models/", "selected": True}, "cpu-quick+models-models+selected"),
    ],
)
def test_a_table_goes_where_it_is_asked_to_and_a_selection_never_among_the_tables(
    root: Path, tmp_path: Path, values: dict[str, Any], folder: str
) -> None:
    record = passed("mine", "native", combination="container")
    write_attempt(tmp_path / "out", [record], combination="container", **values)
    result = harness(root, "ingest", tmp_path / "out")
    assert result.exit_code == 0, result.output
    (table_folder,) = root.rglob("cells.csv")
    store = root / ".harness" / "scratch" if values.get("selected") else root / "results"
    assert table_folder.parent.parent == store / "container" / folder
    if values.get("selected"):
        assert f"Name the folder: `harness show {table_folder.parent}` shows" in refused(root, "show", "container")
    result = harness(root, "ingest", tmp_path / "out", "--results", tmp_path / "kept")
    assert result.exit_code == 0, result.output
    (kept,) = (tmp_path / "kept").rglob("cells.csv")
    assert kept.parent.parent == tmp_path / "kept" / "container" / folder
    assert f"Table: {kept.parent}" in result.stdout
    given = ["--models", str(root / "models")] if "models" in values else []
    named = harness(root, "show", "container", "--results", tmp_path / "kept", *given)
    assert named.exit_code == (2 if values.get("selected") else 0), named.output


@pytest.mark.parametrize(("all_mb", "kept"), [(0, False), (64, True)])
def test_ingest_keeps_as_much_as_the_matrix_file_says(root: Path, tmp_path: Path, all_mb: int, *, kept: bool) -> None:
    older = root / ".harness" / "details" / "torch2.1" / "cpu-quick" / "20200101T000000Z" / "kept" / "mlp--native"
    older.mkdir(parents=True)
    (older / "model.onnx").write_bytes(bytes(2**20))
    (root / "matrices" / "nightly.toml").write_text(f'combinations = ["torch2.1"]\n[keep]\nall_mb = {all_mb}\n')
    write_attempt(tmp_path / "out", [passed("mine", "native", combination="container")], combination="container")
    result = harness(root, "ingest", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert ("were removed" in result.output) is not kept
    assert (older / "model.onnx").exists() is kept


def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "nowhere", "plan", "torch2.1")
    assert "`harness init` lays one out" in refused(tmp_path, "lock")


def test_the_line_that_compares_works_as_it_is_printed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "my models").mkdir()
    monkeypatch.chdir(root)
    series = series_of(["my models"], root=root)
    plans = [Plan(combination=name, device="cpu", tier="core", cells=(), series=series) for name in ("one", "two")]
    tables = [(plan, root / "results" / plan.combination) for plan in plans]
    printed = gate_command(tables, root=root, given_root=None, results=None)
    assert printed == "harness gate one two --models 'my models/' --tier core"
    assert gate_command(tables[:1], root=root, given_root=None, results=None) == ""
    monkeypatch.chdir(root.parent)
    printed = gate_command(tables, root=root, given_root=Path(root.name), results=Path("kept"))
    assert printed == (
        f"harness --root {root.name} gate one two --models '{root.name}/my models' --tier core --results kept"
    )
    assert series_of([f"{root.name}/my models"], root=root) == series
    selected = [(replace(plan, selected=True), folder) for plan, folder in tables]
    printed = gate_command(selected, root=root, given_root=None, results=None)
    assert printed == f"harness gate {root.name}/results/one {root.name}/results/two"
