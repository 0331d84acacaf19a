"""`--to`: what is refused, what is printed, and what files hold afterwards."""

from __future__ import annotations

import json
import shutil
import stat
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.bench.environment import pins_of
from harness.cli import cli
from harness.cli.outlets import FORMATS
from harness.cli.placing import pins_in, places_of, reader_of
from harness.matrix import combination as combinations
from harness.matrix.requirements import keeping
from harness.matrix.requirements.closing import Wish
from harness.report.next_steps import Asked
from harness.report.outlets.facts import Place
from harness.report.outlets.stores import STORES
from harness.tables.schema import Table
from harness.verdict.comparison import compare
from tests.github.checkouts import edit, git, repository
from tests.tables.samples import table

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {"gate": ("torch2.0", "torch2.1"), "compare": ("torch2.0", "torch2.1"), "show": ("torch2.1",)}


REFUSING = """
class Settings:
    def __init__(self, **given): ...

def init(**given):
    raise RuntimeError("api.wandb.ai\\n is \\x1b[31maway.")
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the committed tables of two combinations, whose pins it has."""
    made = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "matrices", made / "matrices")
    for name in ("torch2.0", "torch2.1"):
        newest = max((ROOT / "results" / name / "cpu-quick").iterdir())
        shutil.copytree(newest, made / "results" / name / "cpu-quick" / newest.name)
    return made


def told(root: Path, command: str, *arguments: str, **variables: str) -> Result:
    runner = CliRunner(env={"GITHUB_STEP_SUMMARY": None, "GITHUB_ACTIONS": None, **variables})
    return runner.invoke(cli, ["--root", str(root), command, *COMMANDS[command], *arguments])


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("gate", ["--to", "junti=x"], "unknown format of --to 'junti'. Did you mean 'junit'?"),
        (
            "show",
            ["--to", "json"],
            "does not have it; `harness compare`, `harness gate` and `harness bump` do. It has comment",
        ),
        ("gate", ["--to", "junit", "--to", "sarif"], "only one can be printed. Name a file: --to junit=FILE."),
        ("gate", ["--markdown", "--to", "junit"], "only one can be printed"),
        ("gate", ["--markdown", "--to", "comment"], "--markdown is --to comment: it cannot be printed twice."),
        ("gate", ["--to", "comment="], "--to comment=: there is no name after the '='."),
        ("gate", ["--to", "junit=x", "--to", "sarif=./x"], "--to junit=x and --to sarif=./x: they are one file"),
        ("gate", ["--to", "junit=/proc/nope/x"], "--to junit=/proc/nope/x: /proc/nope/x cannot be written: No such"),
        ("gate", ["--to", "junit=/usr"], "--to junit=/usr: /usr cannot be written: it is a folder."),
        ("gate", ["--to", "summary=/usr"], "--to summary=/usr: /usr cannot be written: it is a folder."),
        ("gate", ["--to", "summary"], "there is no $GITHUB_STEP_SUMMARY here"),
    ],
)
def test_wrong_use_is_told_before_anything_is_read(root: Path, command: str, arguments: list[str], words: str) -> None:
    done = told(root, command, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in " ".join(done.stderr.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_one_call_fills_every_outlet_beside_the_report(root: Path, tmp_path: Path, command: str) -> None:
    left_out = {*STORES, *(["json"] if command == "show" else [])}
    forms = [form for form in FORMATS if form not in left_out]
    done = told(root, command, *(word for form in forms for word in ("--to", f"{form}={tmp_path / 'out' / form}")))
    assert done.exit_code == (1 if command == "gate" else 0), done.output
    assert done.stdout == told(root, command).stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(forms)
    written = {form: (tmp_path / "out" / form).read_text(encoding="utf-8") for form in forms}
    assert all(written.values())
    assert ET.fromstring(written["junit"]).get("tests") == "70"
    assert ("embedding-new-zeros" in written["annotations"]) is True


def test_what_is_printed_stands_in_the_place_of_the_report(root: Path) -> None:
    done = told(root, "gate", "--to", "json")
    assert json.loads(done.stdout)["decision"] == "do not merge"
    assert told(root, "gate", "--markdown").stdout == told(root, "gate", "--to", "comment").stdout


def test_annotations_stand_after_the_report_and_point_at_the_pin(root: Path) -> None:
    done = told(root, "gate", "--to", "annotations")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("::")]
    place = pins_in(root, "torch2.1", {"torch": "2.1.0"})["torch"]
    assert line.startswith(f"::error file=matrices/torch2.1.in,line={place.line},title=newly failing")
    pinned = (root / "matrices" / "torch2.1.in").read_text(encoding="utf-8").splitlines()[place.line - 1]
    assert pinned.startswith("torch==")


def given_in(root: Path, file: str) -> Table:
    """A table of the requirements in `file`, which are locked."""
    wish = Wish(modules=frozenset({"torch", "six"}), everything=True)
    kept = keeping.take(root, str(root / file), wish, python="3.11", note=lambda _: None)
    pins = combinations.read(root, kept.name).pins
    return table(combination=kept.name, pins=pins, packages=pins_of(kept.lock))


@pytest.mark.parametrize(
    ("file", "line"),
    [("requirements.txt", 4), ("matrices/one.in", 4), ("matrices/locks/one.txt", 4)],
    ids=["of one's own", "of a combination", "the lock of one"],
)
def test_requirements_of_ones_own_are_pointed_at_from_the_top_of_the_repository(
    tmp_path: Path, file: str, line: int
) -> None:
    """The base is of another commit, laid out in a folder that is nobody's; the root is a folder of the repository."""
    root = repository(tmp_path / "ml")
    shutil.rmtree(root / ".git")
    git(tmp_path, "init", "--quiet")
    pinned = (root / "matrices" / "one.in").read_text(encoding="utf-8").replace("wheels", str(root / "matrices/wheels"))
    for path in (root / file, root / ".harness" / "base" / "c0ffee" / "requirements.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pinned, encoding="utf-8")
    edit(root / file, "torch==1.0", "torch==2.0")
    base, candidate = (given_in(root, each) for each in (".harness/base/c0ffee/requirements.txt", file))
    told = file if file == "requirements.txt" else "matrices/one.in"
    assert places_of(root, candidate.run, base.run).pins["torch"] == Place(path=f"ml/{told}", line=line)
    assert places_of(root, base.run).pins == {}
    reader = reader_of(root, compare(base, candidate))
    typed = Asked(file=file, options=" --python-version 3.11 --all")
    assert reader.given == {base.run.combination: None, candidate.run.combination: typed}


def test_a_table_is_there_for_others_where_git_knows_it(root: Path, tmp_path: Path) -> None:
    made = tmp_path / "checkout"
    shutil.copytree(root, made)
    git(made, "init", "--quiet")
    assert " explain " not in told(made, "gate", "--to", "comment").stdout
    assert " explain " in told(made, "gate").stdout, "whoever is at this machine has it in any case"
    git(made, "add", "results")
    assert " explain " in told(made, "gate", "--to", "comment").stdout


def test_a_summary_is_appended_to_what_the_step_has(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n", encoding="utf-8")
    done = told(root, "gate", "--to", "summary", GITHUB_STEP_SUMMARY=str(path))
    assert done.exit_code == 1
    first, second, *_ = path.read_text(encoding="utf-8").splitlines()
    assert (first, second) == ("before", "### Do not merge: 2 cells newly failing, of 70 cells")


def test_a_summary_that_is_full_is_left_as_it_is_and_that_is_told(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    for taken in (2**20 - 100, 2**20 + 1):
        path.write_bytes(b"x" * taken)
        done = told(root, "gate", "--to", "summary", GITHUB_STEP_SUMMARY=str(path))
        assert done.exit_code == 1
        assert path.stat().st_size == taken
        assert "has no room left for it" in " ".join(done.stderr.split())


def test_a_file_where_a_folder_should_be_is_wrong_use(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = told(root, "gate", "--to", f"junit={tmp_path / 'file' / 'x.xml'}")
    assert done.exit_code == 2, done.output
    assert "is a file, and the harness needs a folder there" in " ".join(done.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_device_ends_with_three_and_what_was_found_is_told(
    root: Path, tmp_path: Path, full_device: Path
) -> None:
    done = told(root, "gate", "--to", f"junit={full_device}", "--to", f"sarif={tmp_path / 'x.sarif'}")
    assert done.exit_code == 3, done.output
    words = " ".join(done.stderr.split())
    assert "full could not be written: No space left on device. What was found: Do not merge: 2 cells newly" in words
    assert stat.S_ISCHR(full_device.stat().st_mode)
    assert json.loads((tmp_path / "x.sarif").read_text(encoding="utf-8"))["runs"]


@pytest.mark.parametrize("place", ["beside", "before"])
def test_a_store_that_refuses_leaves_the_others_filled_and_what_was_found_told(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The client is a module that cannot reach its server: the real ones are no part of these tests' environment."""
    (tmp_path / "wandb.py").write_text(REFUSING, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    stores = ["--to", "wandb=x" if place == "before" else "wandb"]
    done = told(root, "gate", *stores, "--to", f"junit={tmp_path / 'x.xml'}", "--to", "annotations")
    assert done.exit_code == 3, done.output
    words = " ".join(done.stderr.split())
    assert (
        "--to wandb: it was not kept there: RuntimeError: api.wandb.ai is away. What was found: Do not merge:" in words
    )
    assert "See that it can be reached" in words
    assert "bug" not in words
    assert ET.parse(tmp_path / "x.xml").getroot().get("tests") == "70"
    assert [line for line in done.stdout.splitlines() if line.startswith("::error")]
