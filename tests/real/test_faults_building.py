"""What a model's file may do while it is built, in pinned environments: what is refused, what is kept, what is told."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench.sketch import sampled
from harness.bench.tensors import load
from tests.real.builds import HEAD, MODELS, MORE, TWO, Builds, Call
from tests.real.conftest import ROOT
from tests.real.plugins import add_strategy

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=["torch2.0", "torch2.1"])
def builds(
    request: pytest.FixtureRequest, pinned: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Builds:
    return Builds(pinned(request.param), tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("nan-weights", "ValueError", "output on the example is NaN throughout"),
        ("nan-on-a-probe", "ValueError", "output on the probe 'given-0' is NaN throughout"),
        ("one-output-nan", "ValueError", "outputs[1] on the example is NaN throughout"),
        ("text-output", "UnsupportedValueError", "outputs[1] is of the type str"),
        (
            "bfloat16-output",
            "UnsupportedValueError",
            "outputs[1] is torch.bfloat16 (torch.strided), which",
        ),
        ("raising-forward", "RuntimeError", "own example: mend example() or forward"),
        ("exits", "SystemExit", "the tool ended the process: SystemExit(0)"),
        ("interrupts", "KeyboardInterrupt", "KeyboardInterrupt without a message"),
        ("rejected-probe", "ProbeRejectedError", "probe 'given-0' is rejected by forward: RuntimeError"),
        ("labels-of-another-length", "ValueError", "one row for each of its 3 labels"),
        ("labels-of-another-batch", "ValueError", "no multiple of the example's batch of 2"),
        ("pickled", "UnpicklingError", "Weights only load failed"),
        ("writing-npz", "ValueError", "Object arrays cannot be loaded when allow_pickle=False"),
        ("writing-state-dict", "ValueError", "writing.pt is a TorchScript program, and no state dict"),
        ("writing-torchscript", "ValueError", "writing.pt has code that runs when it is loaded (`__setstate__`)"),
    ],
)
def test_what_is_wrong_is_a_failed_build_that_says_what_to_do(builds: Builds, name: str, kind: str, told: str) -> None:
    result = builds.result(name)
    assert (result["outcome"], result["error_type"]) == ("failed", kind), result
    assert told in result["error"]
    assert ("mend example() or forward" in result["error"]) == (name == "raising-forward")
    assert not (builds.at(name) / "built.json").exists()


@pytest.mark.parametrize("name", ["exported", "writing-exported", "exported-script"])
def test_an_exported_program_is_read_without_running_what_is_pickled_in_it(builds: Builds, name: str) -> None:
    result = builds.result(name)
    if builds.environment == "torch2.0":
        assert result["outcome"] == "not-applicable"
    elif name == "exported":
        assert result["outcome"] == "passed", result
    else:
        assert result["outcome"] == "failed"
        assert "holds a TorchScript program" in result["error"] or "Weights only load failed" in result["error"]


def test_no_saved_file_wrote_anything(builds: Builds) -> None:
    """Whatever the files of `SAVE` would run writes to one path."""
    assert not builds.wrote


TRUSTED = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
from harness.bench.saved import exported_program, state_dict, torchscript
what, file = sys.argv[2:]
{
    "torchscript": lambda: torchscript(Path(file), trust_code=True),
    "state_dict": lambda: state_dict(Path(file), trust_pickle=True),
    "exported": lambda: exported_program(Path(file), trust_pickle=True),
}[what]()
"""


@pytest.mark.parametrize(
    ("what", "file"), [("torchscript", "writing.pt"), ("state_dict", "writing.pt"), ("exported", "writing.pt2")]
)
def test_the_same_files_do_write_where_they_are_trusted(builds: Builds, what: str, file: str) -> None:
    """So that their not having written above says something."""
    if not (builds.folder / file).exists():
        pytest.skip("this torch has no torch.export.save")
    command = [str(builds.python), "-c", TRUSTED, str(ROOT), what, str(builds.folder / file)]
    subprocess.run(command, cwd=builds.folder, check=False, capture_output=True, timeout=120)
    assert builds.written.exists()
    builds.written.unlink()


def test_a_scripted_module_without_such_code_is_loaded(builds: Builds) -> None:
    assert builds.built("scripted")["paths"][0] == ["output"]


@pytest.mark.parametrize("name", ["infinite-output", "some-nan"])
def test_what_is_not_finite_in_part_or_infinite_can_be_matched(builds: Builds, name: str) -> None:
    kept = builds.built(name)["native"]["example"]
    assert any("special" in output for output in kept)


@pytest.mark.parametrize("name", ["unprobed", "unprobed-ids"])
def test_a_model_without_probes_gets_two_of_its_examples_own_values(builds: Builds, name: str) -> None:
    built = builds.built(name)
    assert built["names"] == ["example", "permuted-1", "permuted-2"]
    assert (built["derived"], built["dropped_probes"]) == (["permuted-1", "permuted-2"], {})
    assert built["same_shape"] == [True, True, True]
    (example,), (one,), (two,) = (load(builds.at(name) / f"inputs-{index}.npz") for index in range(3))
    assert len({example.tobytes(), one.tobytes(), two.tobytes()}) == 3
    assert sorted(example.ravel()) == sorted(one.ravel()) == sorted(two.ravel())
    outputs = [load(builds.at(name) / f"native-{index}.npz")[0] for index in range(3)]
    assert (outputs[0] != outputs[1]).any()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("unprobed-constant", "the example's values have no further order that differs"),
        ("unprobed-in-order", "IndexError: positions have to ascend"),
    ],
)
def test_a_derived_probe_that_a_model_cannot_take_is_dropped_and_told(builds: Builds, name: str, told: str) -> None:
    built = builds.built(name)
    assert (built["names"], built["derived"]) == (["example"], [])
    assert list(built["dropped_probes"]) == ["permuted-1", "permuted-2"]
    assert built["dropped_probes"]["permuted-1"].startswith(told)


def test_a_derived_probe_that_is_answered_by_nan_stays_and_is_told_by_its_mask(builds: Builds) -> None:
    """Whether another version still answers it so is the gate's to tell: an input set less would hide it."""
    built = builds.built("unprobed-nan")
    assert built["names"] == ["example", "permuted-1", "permuted-2"]
    assert built["dropped_probes"] == {}
    assert "special" not in built["native"]["example"][0]
    for name in built["derived"]:
        (kept,) = built["native"][name]
        assert np.isnan(kept["values"]).all()
        assert kept["special"]


def test_a_model_with_probes_gets_no_others(builds: Builds) -> None:
    built = builds.built("own-tolerance")
    assert built["names"] == ["example", "given-0", "given-1"]
    assert (built["derived"], built["dropped_probes"]) == ([], {})
    assert (built["tolerance"], built["train_mode"]) == (5e-3, True)


def test_native_outputs_are_in_memory_of_their_own(builds: Builds) -> None:
    """A module that returns its buffer answers to each input set for itself."""
    builds.built("buffer")
    for index in range(3):
        (inputs,), (outputs,) = (load(builds.at("buffer") / f"{what}-{index}.npz") for what in ("inputs", "native"))
        np.testing.assert_array_equal(inputs, outputs)


def test_every_saved_file_is_read_only_and_has_its_digest(builds: Builds) -> None:
    built = builds.built("unprobed")
    files = sorted(builds.at("unprobed").glob("*.npz"))
    assert [file.name for file in files] == [
        *(f"inputs-{i}.npz" for i in range(3)),
        *(f"native-{i}.npz" for i in range(3)),
    ]
    for file in files:
        assert file.stat().st_mode & 0o222 == 0
        assert built["digests"][file.name] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_what_is_kept_of_an_output_is_the_same_here_as_there(builds: Builds) -> None:
    """numpy is another version here, and both write what a table keeps."""
    for name in ("unprobed-ids", "some-nan", "infinite-output"):
        outputs = load(builds.at(name) / "native-0.npz")
        assert json.loads(json.dumps([sampled(each) for each in outputs])) == builds.built(name)["native"]["example"]


def test_the_code_that_a_model_imported_on_its_way_is_told(builds: Builds) -> None:
    modules = builds.built("lazy")["modules"]
    wanted = [builds.file("lazy"), builds.folder / "lazily_there.py", builds.folder / "_further.py"]
    assert modules == {str(path): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(wanted)}
    assert list(builds.built("unprobed")["modules"]) == [str(builds.file("unprobed"))]


EDIT = (
    "import numpy; built = context.folder.parents[3] / 'scratch' / 'built' / context.model_name; "
    "[(file.chmod(0o644), numpy.savez(file, numpy.zeros((2, 4), 'f4'))) for file in built.glob('native-*.npz')]"
)


BENCHED = ("nan-weights", "unprobed", "unprobed-in-order", "exits", "hangs")


@pytest.fixture(scope="module")
def rows(bench: Call, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The rows of a run of the bench over some of these models, by cell, in the order that the cells began in."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "models").mkdir()
    hangs = "model(build=lambda: __import__('time').sleep(3600), probes=TWO)"
    for name in BENCHED:
        file = folder / "models" / f"{name.replace('-', '_')}.py"
        source = MODELS.get(name, hangs)
        file.write_text(f"{HEAD}{MORE}{TWO}\nMODEL = {source}\n", encoding="utf-8")
    add_strategy(folder / "plugins", "edits-natives", EDIT)
    add_strategy(folder / "plugins", "well-behaved", "pass")
    selected = [f"--strategies={name}" for name in ("native", "edits-natives", "well-behaved")]
    options = [
        "--timeout-s=10",
        "--measure-s=0.05",
        "--models",
        folder / "models",
        "--plugin-folder",
        folder / "plugins",
    ]
    done = bench("torch2.1", *selected, *options, "--out", folder / "out")
    assert done.returncode == 1, done.stdout + done.stderr
    events = [json.loads(line) for line in (folder / "out/events.jsonl").read_text(encoding="utf-8").splitlines()]
    began = [(each["model"], each["strategy"]) for each in events if each["event"] == "started"]
    found = [json.loads(path.read_text(encoding="utf-8"))["row"] for path in (folder / "out/records").glob("*.json")]
    found.sort(key=lambda row: began.index((row["model"], row["strategy"])))
    return {f"{row['model']}/{row['strategy']}": row for row in found}


@pytest.mark.parametrize(
    ("model", "outcome", "kind"),
    [("nan-weights", "failed", "ValueError"), ("exits", "failed", "SystemExit"), ("hangs", "timed-out", "Timeout")],
)
def test_what_goes_wrong_while_building_is_recorded_in_every_cell(
    rows: dict[str, Any], model: str, outcome: str, kind: str
) -> None:
    assert len(rows) == 3 * len(BENCHED)
    for strategy in ("native", "edits-natives", "well-behaved"):
        row = rows[f"{model}/{strategy}"]
        assert (row["outcome"], row["stage"], row["error_type"]) == (outcome, "build", kind), row


def test_derived_probes_are_run_and_marked_so(rows: dict[str, Any]) -> None:
    for strategy in ("native", "well-behaved"):
        row = rows[f"unprobed/{strategy}"]
        assert row["outcome"] == "passed", row
        assert (row["probes_passed"], row["probes_total"], row["probes_derived"]) == (2, 2, 2)
        assert (rows[f"unprobed-in-order/{strategy}"]["probes_total"]) == 0


def test_a_step_that_edits_native_outputs_fails_alone(rows: dict[str, Any]) -> None:
    cells = list(rows)
    for model in ("unprobed", "unprobed-in-order"):
        assert cells.index(f"{model}/edits-natives") < cells.index(f"{model}/well-behaved")
        row = rows[f"{model}/edits-natives"]
        assert (row["outcome"], row["stage"], row["error_type"]) == ("failed", "convert", "ForeignFilesChanged"), row
        assert rows[f"{model}/well-behaved"]["outcome"] == "passed"
