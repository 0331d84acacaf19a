"""The steps of `action.yml`, run as a runner does: what they hand on, and what stands in the log."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from harness.bench.errors import UsageError
from harness.github.verdict import COMMANDS, Given, arguments_of, decision_of, without_a_verdict
from tests.github.checkouts import commit, edit, repository
from tests.github.runner import ACTION, ROOT, VERDICT, verdict


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return repository(tmp_path / "checkout")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A repository with the committed tables of two combinations."""
    for name in ("torch2.0", "torch2.1"):
        shutil.copytree(ROOT / "results" / name / "cpu-quick", tmp_path / "results" / name / "cpu-quick")
    (tmp_path / "matrices").mkdir()
    return tmp_path


def test_every_input_and_output_is_handed_on() -> None:
    handed = {
        match[1] for value in VERDICT["env"].values() if (match := re.fullmatch(r"\$\{\{ inputs\.(.+) \}\}", value))
    }
    assert handed | {"harness-python"} == {*ACTION["inputs"]}
    assert {f"ACTION_{name.upper()}" for name in Given.__dataclass_fields__} == {*VERDICT["env"]} - {"PYTHON"}
    for name, output in ACTION["outputs"].items():
        assert output["value"] == f"${{{{ steps.verdict.outputs.{name} }}}}"


def test_nothing_that_is_given_becomes_part_of_a_script() -> None:
    for each in ACTION["runs"]["steps"]:
        assert "${{" not in each.get("run", "")
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each.get("uses", f"a@{'0' * 40}"))


def test_a_verdict_is_handed_on_and_ends_the_step(tables: Path) -> None:
    done = verdict(tables, base="torch2.0", candidate="torch2.1", tier="quick")
    assert done.code == 1, done.log
    assert {name: done.outputs[name] for name in ("decision", "exit-code")} == {
        "decision": "do not merge",
        "exit-code": "1",
    }
    comment = Path(done.outputs["comment"])
    assert comment.parent == Path(done.outputs["folder"])
    assert "embedding-new-zeros" in comment.read_text(encoding="utf-8")
    told = comment.read_text(encoding="utf-8")
    assert done.summary == told.partition("\n")[2], "without its hidden line"
    document = json.loads(Path(done.outputs["json"]).read_text(encoding="utf-8"))
    assert (document["decision"], document["exit_code"]) == ("do not merge", 1)
    annotations = [line for line in done.log.splitlines() if line.startswith("::error ")]
    assert annotations
    assert all("embedding-new-zeros" in line for line in annotations)
    assert done.log.index("\n::error ") > done.log.index("\ndo not merge"), "after commands are heeded again"


def test_a_comparison_judges_nothing(tables: Path) -> None:
    done = verdict(tables, command="compare", base="torch2.0", candidate="torch2.1")
    assert (done.code, done.outputs["decision"]) == (0, "")


def test_pins_that_differ_are_one_line_for_a_matrix(root: Path) -> None:
    assert verdict(root, command="pins", since="HEAD").outputs["pins"] == "[]"
    edit(root / "matrices" / "one.in", "torch==1.0", "torch==2.0")
    done = verdict(root, command="pins", since="HEAD")
    assert [each["name"] for each in json.loads(done.outputs["pins"])] == ["one"]
    assert (done.code, done.summary) == (0, "")


def test_pins_that_a_bot_moved_are_gated(root: Path) -> None:
    """Neither side has a solution, so that nothing needs to be installed."""
    edit(root / "matrices" / "two.in", "six==1.0", "six==1.0\nsix==2.0")
    commit(root, "without a solution")
    edit(root / "matrices" / "two.in", "torch==1.0", "torch==2.0")
    done = verdict(root, since="HEAD", arguments="--device cpu --models lstm")
    assert (done.code, done.outputs["decision"]) == (3, "cannot tell"), done.log
    comment = Path(done.outputs["comment"]).read_text(encoding="utf-8")
    assert "torch" in comment
    assert "1.0 → 2.0" in comment
    assert done.summary == comment.partition("\n")[2]


def test_what_ends_before_a_verdict_leaves_a_comment_that_says_so(tables: Path) -> None:
    done = verdict(tables, base="torch2.0", candidate="torch9.9")
    assert (done.code, done.outputs["decision"]) == (2, "cannot tell")
    comment = Path(done.outputs["comment"]).read_text(encoding="utf-8")
    assert comment.startswith("### Cannot tell: the harness ended with exit code 2 before it had a verdict\n")
    assert "torch9.9" in comment


def test_without_a_comment_no_exit_code_is_a_decision(tables: Path) -> None:
    done = verdict(tables, base="torch2.0", candidate="torch2.1", arguments="--help")
    assert (done.code, done.outputs["exit-code"], done.outputs["decision"]) == (3, "3", "cannot tell")
    assert "\n::error title=No verdict::harness: it ended with exit code 0 and without a verdict" in done.log
    assert "Leave out of the input `arguments` what has it print something else" in done.summary
    assert decision_of("gate", 1, judged=False) == "cannot tell", "a traceback"
    assert decision_of("gate", 1, judged=True) == "do not merge"


def test_nothing_in_the_log_is_a_command_to_the_runner(tables: Path) -> None:
    done = verdict(tables, base="torch2.0", candidate="::add-mask::e")
    first, *said, last = done.log.splitlines()
    word = re.fullmatch(r"::stop-commands::([0-9a-f-]{36})", first)
    assert word
    assert last == f"::{word[1]}::"
    assert any("::add-mask::e" in line for line in said)
    assert done.code == 2


def test_a_comment_without_a_verdict_keeps_what_was_printed_as_it_was() -> None:
    text = without_a_verdict(3, ["```", "@somebody <!-- -->"])
    assert text.split("\n\n")[1].splitlines() == ["````text", "```", "@somebody <!-- -->", "````"]
    assert without_a_verdict(3, []).count("\n") == 2


def test_a_comment_without_a_verdict_has_room_for_all_lines() -> None:
    assert len(without_a_verdict(3, ["x" * 1_000_000] * 30)) < 20_000


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"command": "run"}, "unknown command 'run'"),
        ({"command": "gate", "base": "a"}, "the input `candidate` is 'empty'"),
        ({"command": "gate", "base": "--help", "candidate": "b"}, "the input `base` is '--help'"),
        ({"command": "gate", "base": "a", "candidate": "b", "arguments": "--tier 'core"}, "the input `arguments` is"),
        ({"command": "pins", "since": "HEAD", "arguments": "'"}, "the input `arguments` is"),
        ({"command": "bump", "base": "a", "candidate": "'six"}, "(No closing quotation)"),
        ({"command": "pins"}, "the input `since` is 'empty'"),
        ({"command": "bump", "base": "a"}, "the input `candidate`"),
        ({"command": "compare", "since": "HEAD"}, "`since` finds both sides of a gate"),
        ({"command": "gate", "since": "HEAD", "base": "a"}, "`since` finds both sides of a gate"),
        ({"command": "gate", "since": "HEAD"}, "those that differ since HEAD are: none"),
        ({"command": "gate", "since": "HEAD", "pins": "tow"}, "tow was named"),
    ],
)
def test_inputs_that_ask_for_nothing_are_told(root: Path, inputs: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        arguments_of(Given(**inputs), root)


def test_each_command_gets_what_it_takes(root: Path) -> None:
    edit(root / "matrices" / "one.in", "torch==1.0", "torch==2.0")
    further = {"tier": "core", "arguments": "--device cpu --models 'my models'", "python": "3.12"}
    words = ["--tier", "core", "--device", "cpu", "--models", "my models"]
    gate = arguments_of(Given(command="gate", since="HEAD", **further), root)
    assert gate[1:4:2] == ["--base-requirements", "--candidate-requirements"]
    assert gate[4:] == ["matrices/one.in", "--python-version", "3.12", *words]
    assert arguments_of(Given(command="gate", base="a", candidate="b", **further), root) == ["gate", "a", "b", *words]
    (root / "uv.lock").write_text("", encoding="utf-8")
    files = arguments_of(Given(command="gate", base="matrices/two.in", candidate="uv.lock[a,b]:c"), root)
    assert files[1::2] == ["--base-requirements", "--candidate-requirements"]
    bump = arguments_of(Given(command="bump", base="one", candidate="torch==2.0 'six>=1, <3'"), root)
    assert bump == ["bump", "one", "torch==2.0", "six>=1, <3"]
    assert {"gate", "bump", "compare", "pins"} == {*COMMANDS}
