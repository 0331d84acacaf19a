"""Matrix files, and the path to whatever is wrong in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench.errors import UsageError
from harness.bench.plan import Policy
from harness.matrix import combination
from harness.matrix.matrixfile import of, parse, read

ROOT = Path(__file__).resolve().parents[2]
KNOWN = ["torch2.0", "torch2.1"]
HEAD = 'combinations = ["torch2.0"]\n'


def test_what_is_left_out_has_its_default() -> None:
    matrix = parse(HEAD, where="x.toml", known=KNOWN)
    assert (matrix.combinations, matrix.tier, matrix.devices) == (["torch2.0"], "quick", ["auto"])
    assert matrix.policy.policy() == Policy()


def test_everything_can_be_said() -> None:
    text = """
combinations = ["torch2.0", "torch2.1"]
tier = "core"
devices = ["cpu", "cuda"]
models = ["res*"]
strategies = ["onnx-*"]

[policy]
timeout_s = 60
memory_limit_mb = 1024
launches = 3
measure_s = 0.25
threads = 2
"""
    matrix = parse(text, where="x.toml", known=KNOWN)
    assert (matrix.tier, matrix.devices, matrix.models, matrix.strategies) == (
        "core",
        ["cpu", "cuda"],
        ["res*"],
        ["onnx-*"],
    )
    policy = matrix.policy.policy()
    assert policy == Policy(timeout_s=60, memory_limit_mb=1024, launches=3, measure_s=0.25, threads=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "x.toml: 'combinations': Field required."),
        ("combinations = []\n", "x.toml: 'combinations': List should have at least 1 item"),
        ('combinations = "torch2.0"\n', "x.toml: 'combinations': Input should be a valid list."),
        ('combinations = ["torch2.0", 3]\n', "x.toml: 'combinations.1': Input should be a valid string."),
        (
            'combinations = ["torch2.0", "torch21"]\n',
            "x.toml: 'combinations.1': unknown combination 'torch21'. Did you",
        ),
        (HEAD + 'tiers = "core"\n', "x.toml: 'tiers': no such key. Did you mean 'tier'?"),
        (HEAD + "zzz = 1\n", "x.toml: 'zzz': no such key. There are: combinations, tier"),
        (HEAD + 'tier = "huge"\n', "x.toml: 'tier': Input should be 'quick', 'core' or 'full'."),
        (HEAD + 'devices = ["cpu", "tpu"]\n', "x.toml: 'devices.1': Input should be 'cpu', 'cuda' or 'auto'."),
        (HEAD + "devices = []\n", "x.toml: 'devices': List should have at least 1 item"),
        (HEAD + "policy = 3\n", "x.toml: 'policy': "),
        (HEAD + "[policy]\ntimeout = 3\n", "x.toml: 'policy.timeout': no such key. Did you mean 'timeout_s'?"),
        (HEAD + "[policy]\ntimeout_s = 0\n", "x.toml: 'policy.timeout_s': Input should be greater than 0."),
        (HEAD + '[policy]\ntimeout_s = "3"\n', "x.toml: 'policy.timeout_s': Input should be a valid number."),
        (HEAD + "[policy]\nlaunches = 1.5\n", "x.toml: 'policy.launches': Input should be a valid integer."),
        (HEAD + "[policy]\nlaunches = true\n", "x.toml: 'policy.launches': Input should be a valid integer."),
        (HEAD + "[policy]\nlaunches = -1\n", "x.toml: 'policy.launches': Input should be greater than or equal to 0."),
        (HEAD + "[gate]\nfails = []\n", "x.toml: 'gate.fails': no such key. Did you mean 'fail'?"),
        (HEAD + '[gate]\nfail = ["newly-faling"]\n', "x.toml: 'gate.fail.0': Input should be 'newly-failing', "),
        (HEAD + '[gate]\nfail = ["unchanged"]\n', "x.toml: 'gate.fail.0': Input should be 'newly-failing', "),
        (HEAD + "[gate]\naccuracy_points = -1\n", "x.toml: 'gate.accuracy_points': Input should be greater than"),
        (HEAD + "[gate]\naccuracy_points = nan\n", "x.toml: 'gate.accuracy_points': Input should be"),
        (HEAD + "[gate]\nlatency_percent = 0\n", "x.toml: 'gate.latency_percent': Input should be greater than 0."),
        (HEAD + '[gate]\nmoved_natives = "no"\n', "x.toml: 'gate.moved_natives': Input should be a valid boolean."),
        (
            HEAD + '[[gate.rules]]\nmodel = ["a"]\nfail = []\n',
            "x.toml: 'gate.rules.0.model': no such key. Did you mean 'models'?",
        ),
        (
            HEAD + '[[gate.rules]]\nignore = ["missing-in-candidate"]\n',
            "x.toml: 'gate.rules.0.ignore.0': Input should be 'newly-failing', ",
        ),
        (HEAD + '[[gate.rules]]\nmodels = ["a"]\n', "x.toml: 'gate.rules.0': says nothing: give it fail, ignore, "),
        (
            HEAD + '[[gate.rules]]\nfail = ["fixed", "mismatched"]\nignore = ["mismatched"]\n',
            "x.toml: 'gate.rules.0': fail and ignore both have mismatched.",
        ),
        (
            HEAD + '[[gate.rules]]\nstrategies = ["s"]\nmoved_natives = false\n',
            "x.toml: 'gate.rules.0': moved_natives is of a model, whatever the strategy",
        ),
        ("combinations = [\n", "x.toml: not valid TOML: "),
        (HEAD + HEAD, "x.toml: not valid TOML: "),
    ],
)
def test_what_is_wrong_is_told_with_the_path_to_it(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, where="x.toml", known=KNOWN)
    assert told in str(caught.value)


def test_what_fails_a_gate_can_be_said() -> None:
    text = """
[gate]
fail = ["newly-failing", "mismatched", "failing-differently"]
accuracy_points = 0.5
latency_percent = 20

[[gate.rules]]
models = ["gru*"]
strategies = ["onnx-*"]
ignore = ["mismatched"]

[[gate.rules]]
models = ["stft-*"]
moved_natives = false
"""
    gate = parse(HEAD + text, where="x.toml", known=KNOWN).gate
    assert gate is not None
    assert (gate.fail, gate.moved_natives) == (["newly-failing", "mismatched", "failing-differently"], True)
    assert (gate.accuracy_points, gate.latency_percent, gate.memory_percent) == (0.5, 20, None)
    assert [rule.models for rule in gate.rules] == [["gru*"], ["stft-*"]]
    assert [rule.moved_natives for rule in gate.rules] == [None, False]
    assert parse(HEAD, where="x.toml", known=KNOWN).gate is None


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        parse(HEAD + 'tier = 3\nzzz = 1\n[policy]\nthreads = "many"\n', where="x.toml", known=KNOWN)
    lines = str(caught.value).splitlines()
    assert [line.split("'")[1] for line in lines] == ["tier", "policy.threads", "zzz"]


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with pytest.raises(UsageError, match=r"x\.toml: no such matrix file"):
        read(path, known=KNOWN)
    path.write_bytes(b"combinations = ['\xff']\n")
    with pytest.raises(UsageError, match=r"x\.toml: cannot be read as UTF-8 text"):
        read(path, known=KNOWN)


@pytest.mark.parametrize("path", sorted((ROOT / "matrices").glob("*.toml")), ids=lambda path: path.stem)
def test_every_committed_matrix_file_reads(path: Path) -> None:
    if path.name != "expectations.toml":
        assert read(path, known=combination.names(ROOT)).combinations


def test_a_repository_without_a_matrix_has_what_is_usual_for_the_combinations_that_are_named(tmp_path: Path) -> None:
    found = of(tmp_path, None, names=["one"], known=["one", "two"])
    assert (found.combinations, found.tier, found.devices) == (["one"], "quick", ["auto"])
    with pytest.raises(UsageError, match=r"name a combination \(one, two\), or write matrices/nightly.toml"):
        of(tmp_path, None, names=[], known=["one", "two"])
    with pytest.raises(UsageError, match="no such matrix file"):
        of(tmp_path, tmp_path / "x.toml", names=["one"], known=["one"])
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "nightly.toml").write_text('combinations = ["two"]\ntier = "core"\n')
    assert of(tmp_path, None, names=["one"], known=["one", "two"]).tier == "core"
