"""The script of a cell: every strategy and every stage gives one that Python can read."""

from __future__ import annotations

import ast
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench.binding import Parameter, bind
from harness.bench.record import Record
from harness.bench.registry import discover
from harness.bench.stages import Outcome, Stage
from harness.reproducing import script
from harness.reproducing.facts import NotReproducibleError
from harness.reproducing.making import _route, make
from harness.reproducing.pinning import Pinned, Source
from harness.reproducing.slicing import Slicer
from tests.tables.samples import failed, mismatched, not_applicable, passed

REGISTRY = discover()
PINS = Pinned(python="3.11", direct={"numpy": "1.24.3", "torch": "2.1.0"}, rest={"sympy": "1.14.0"})
STAGES = [Stage.BUILD, Stage.CONVERT, Stage.VALIDATE, Stage.LOAD, Stage.EXECUTE, Stage.MATCH, Stage.PROBE]


class Array:
    shape = (2, 7)
    dtype = "int64"


def told(*, names: tuple[str, ...] = ("ids",), **more: Any) -> dict[str, Any]:
    """What the model's child says of a model that takes tensors by position."""
    binding = bind([Parameter(name, "positional", required=True) for name in names], dict.fromkeys(names, Array()), {})
    inputs = [{"name": name, "access": f"[{name!r}]", "dtype": "int64", "shape": [2, 7]} for name in names]
    return {
        "weights": False,
        "keep_weights": False,
        "train_mode": False,
        "gains": {"head.weight": 2.0},
        "constants": {},
        "binding": binding.to_json(),
        "inputs": inputs,
        "dynamic": {name: {"0": "batch"} for name in names},
        "literals": {"": ["np.array([[1, 2]], dtype=np.int64)"] * len(names), "longer": [""] * len(names)},
        "output_count": 1,
        "paths": ["output"],
        "numbers": [],
        **more,
    }


def text_of(record: Record, facts: dict[str, Any]) -> str:
    """The script of a cell of the embedding model."""
    slicer = Slicer(REGISTRY.models[record.model].path, {}, own=False)
    code = script.body(record, _route(record, REGISTRY), slicer, facts, {"torch": "2.1.0"})
    return script.written(record, PINS, code, slicer, cell=record.cell_id, future=True)


ROUTES = [
    name
    for name, entry in REGISTRY.strategies.items()
    if not name.startswith(("hybrid", "weight-transfer")) and entry.value
]


@pytest.mark.parametrize(("strategy", "stage"), list(itertools.product(ROUTES, STAGES)))
def test_every_route_gives_a_script_up_to_its_stage(strategy: str, stage: Stage) -> None:
    record = failed("embedding-new-zeros", strategy, stage, error="probe 'longer': it broke")
    served = {"coreml", "litert", "tflite"}
    if strategy in served and stage not in (Stage.BUILD, Stage.CONVERT, Stage.VALIDATE):
        with pytest.raises(NotReproducibleError, match="no plain code"):
            text_of(record, told())
        return
    text = text_of(record, told())
    compile(text, "repro.py", "exec")
    tree = ast.parse(text)
    assert "harness.bench" not in text
    assert 'print("passes")' in text
    assert ("fill(model" in text) == (STAGES.index(stage) >= STAGES.index(Stage.EXECUTE))
    assert ("compare(outputs" in text) == (stage in (Stage.MATCH, Stage.PROBE))
    assert ("probe = " in text) == (stage is Stage.PROBE)
    # Everything that the script names at its top level is imported or defined before.
    bound = set(dir(__builtins__)) | set(__builtins__ if isinstance(__builtins__, dict) else ())
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
            continue
        inner = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        inner |= {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
        used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
        assert used <= bound | inner, used - bound - inner
        bound |= inner
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}


def test_the_script_begins_with_its_metadata_and_says_what_was_seen() -> None:
    text = text_of(
        failed("embedding-new-zeros", "onnx-torchscript:16", error="<scratch>/convert/model.onnx: bad"), told()
    )
    assert text.startswith(
        '# /// script\n# requires-python = "==3.11.*"\n# dependencies = [\n#   "numpy==1.24.3",\n#   "torch==2.1.0",\n'
    )
    told_ = ast.get_docstring(ast.parse(text)) or ""
    assert "embedding-new-zeros by onnx-torchscript:16 fails at the stage 'load'" in told_
    assert "Fail: model.onnx: bad" in told_  # without the harness's own folders
    assert "torch 2.1.0" in told_
    assert "opset_version=16" in text
    assert 'dynamic_axes={"ids": {0: "batch"}}' in text


def test_a_step_that_validates_between_two_that_convert_does_not_end_the_script() -> None:
    text = text_of(failed("embedding-new-zeros", "onnx-tf", Stage.CONVERT), told())
    assert "onnx_tf.backend.prepare(" in text
    assert "check_model" in text
    text = text_of(failed("embedding-new-zeros", "onnx-torchscript", Stage.CONVERT), told())
    assert "check_model" not in text


def test_arguments_are_written_as_forward_takes_them() -> None:
    parameters = [Parameter("ids", "positional", required=True), Parameter("causal", "keyword", required=False)]
    bound = bind(parameters, {"ids": Array()}, {"causal": True})
    facts = told(binding=bound.to_json(), constants={"causal": "True"})
    text = text_of(failed("embedding-new-zeros", "onnx-torchscript", Stage.MATCH), facts)
    assert "return self.model(tensors[0], causal=True)" in text
    assert "torch.onnx.export(\n    flat,\n    tensors," in text or "torch.onnx.export(flat, tensors," in text
    with pytest.raises(NotReproducibleError, match="cannot be written out"):
        text_of(
            failed("embedding-new-zeros", "onnx-torchscript"),
            told(binding=bound.to_json(), constants={"causal": "<o>"}),
        )


def test_the_exporter_that_is_asked_for_is_named_where_versions_have_two() -> None:
    record = failed("embedding-new-zeros", "onnx-torchscript")
    slicer = Slicer(REGISTRY.models[record.model].path, {}, own=False)
    code = script.body(record, _route(record, REGISTRY), slicer, told(), {"torch": "2.9.1"})
    assert "**exporter" in "\n".join(code.parts)
    assert "exporter" not in text_of(record, told())


def test_weights_of_a_file_are_refused_only_where_they_matter() -> None:
    text_of(failed("embedding-new-zeros", "onnx-torchscript", Stage.LOAD), told(weights=True))
    with pytest.raises(NotReproducibleError, match="weights come of a file"):
        text_of(mismatched("embedding-new-zeros", "onnx-torchscript"), told(weights=True))


def test_a_model_that_cannot_be_built_is_told() -> None:
    facts = {"literals": {}, "raised": {"error_type": "ImportError", "error": "no such name"}}
    with pytest.raises(NotReproducibleError, match="ImportError: no such name"):
        text_of(failed("embedding-new-zeros", "onnx-torchscript"), facts)


def test_names_of_the_model_do_not_collide_with_those_of_the_script(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from harness.bench import Model, uniform\n"
        "session = 3\n"
        "def build():\n    import torch\n    return torch.nn.Linear(session, 2)\n"
        "def example():\n    return {'ids': uniform((2, session))}\n"
        "MODEL = Model(summary='', family='', build=build, example=example, probes={})\n",
        encoding="utf-8",
    )
    slicer = Slicer(file, {}, own=True)
    record = failed("mine", "onnx-torchscript", Stage.EXECUTE)
    facts = told(literals={"": [""]})
    code = script.body(record, _route(record, REGISTRY), slicer, facts, {"torch": "2.1.0"})
    text = script.written(record, PINS, code, slicer, cell="x", future=False)
    assert "example_ = example()" in text
    assert "session_ = onnxruntime.InferenceSession(" in text
    assert "for value in example_.values()" in text
    assert "session_.run(None, {each.name: inputs[each.name] for each in session_.get_inputs()})" in text
    compile(text, "repro.py", "exec")


def own_script(folder: Path, head: str, build: str, record: Record) -> str:
    """The script of a user's model; `head` is at its top level, `build` the code of what MODEL is given."""
    file = folder / "mine.py"
    file.write_text(
        f"import numpy as np\nfrom harness.bench import Model, uniform\n{head}\n"
        "def example():\n    return {'ids': uniform((2, 7))}\n"
        f"MODEL = Model(summary='', family='', build={build}, example=lambda: example(), probes={{}})\n",
        encoding="utf-8",
    )
    slicer = Slicer(file, {}, own=True)
    code = script.body(record, _route(record, REGISTRY), slicer, told(literals={"": [""]}), {"torch": "2.1.0"})
    return script.written(record, PINS, code, slicer, cell="x", future=False)


def test_names_of_the_model_keep_their_meaning_in_its_own_expressions(tmp_path: Path) -> None:
    head = (
        "model = {'width': 3}\ninputs = weights = 2\noutputs = [4]\nlow = seed = 5\n"
        "def flatten(x):\n    return x\ndef compare():\n    return 1\n"
        "def net(*sizes, outputs):\n    return sizes, low, seed\n"
    )
    build = "lambda: net(model['width'], inputs, weights, outputs=outputs, more=[flatten, compare])"
    text = own_script(tmp_path, head, build, mismatched("mine", "onnx-torchscript"))
    assert "model_ = net(model['width'], inputs, weights, outputs=outputs, more=[flatten, compare]).eval()" in text
    assert "def flatten(x):" in text
    assert "def compare_(outputs_, expected, paths):" in text
    assert "compare_(outputs_, expected, " in text
    assert "expected = [model_(*tensors).numpy()]" in text
    assert "fill(model_, gains=" in text
    assert "def uniform(shape, *, seed=0, low=-1.0, high=1.0):" in text
    assert "(high - low) + low)" in text
    compile(text, "repro.py", "exec")


@pytest.mark.parametrize("stage", STAGES)
def test_a_cell_without_an_end_has_its_stage_marked(stage: Stage) -> None:
    record = replace(failed("embedding-new-zeros", "onnx-torchscript", stage), outcome=Outcome.TIMED_OUT)
    record = replace(record, error="probe 'longer': no end" if stage is Stage.PROBE else "no end")
    text = text_of(record, told())
    assert text.count(f'print("{script.reached(record)}", flush=True)\n') == 1
    assert "flush=True" not in text_of(replace(record, outcome=Outcome.FAILED), told())


def test_what_the_model_calls_while_it_is_read_stands_before_it(tmp_path: Path) -> None:
    text = own_script(
        tmp_path, "TABLE = uniform((4, 4))\n", "lambda: make(TABLE)", failed("mine", "onnx-torchscript", Stage.LOAD)
    )
    before = text.partition("os.chdir(")[0]
    scope: dict[str, Any] = {}
    absent = ("import torch", "import onnx", "import onnxruntime")
    exec("\n".join(line for line in before.splitlines() if line not in absent), scope)
    assert scope["TABLE"].shape == (4, 4)


def test_a_name_that_is_a_module_in_scripts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReproducibleError, match="'os' for another thing than the module os"):
        own_script(tmp_path, "os = 3\n", "lambda: make(os)", failed("mine", "onnx-torchscript"))


def test_folders_of_this_machine_are_no_part_of_what_was_seen() -> None:
    error = 'lost:\n  File "/srv/app/models/m.py", line 9, in forward, of /home/me/w.bin, http://me:secret@host/x'
    seen = script.told_of(failed("m", "s", error=error))
    assert seen == 'lost:\n  File "m.py", line 9, in forward, of w.bin, http://host/x'
    harness = 'File "<harness>/harness/a.py", line 1, in the node /layer/Gather'
    assert script.told_of(failed("m", "s", error=harness)) == harness


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (passed("embedding-new-zeros", "native"), "nothing to show"),
        (not_applicable("embedding-new-zeros", "onnx-dynamo"), "not applicable"),
        (failed("embedding-new-zeros", "native", Stage.INSTALL), "could not be installed"),
        (mismatched("embedding-new-zeros", "native", Stage.MEASURE), "only while it was timed"),
        (replace(failed("embedding-new-zeros", "native"), outcome=Outcome.OUT_OF_MEMORY), "out of memory"),
        (replace(failed("embedding-new-zeros", "native", Stage.RESOLVE), outcome=Outcome.UNRESOLVABLE), "no solution"),
    ],
)
def test_what_no_script_can_show_is_refused(record: Record, words: str) -> None:
    with pytest.raises(NotReproducibleError, match=words):
        make(record, REGISTRY, Source(python="3.11", pins={}), cell=record.cell_id)


def test_only_public_indexes_are_named() -> None:
    lock = (
        "--index-url https://pypi.org/simple\n--extra-index-url https://download.pytorch.org/whl/cpu\n"
        "--extra-index-url https://packages.example.com/simple\ntorch==2.1.0+cpu \\\n    --hash=sha256:0\n"
    )
    source = Source.of_lock(lock, "3.11")
    assert source.indexes == ("https://download.pytorch.org/whl/cpu",)
    header = replace(PINS, indexes=source.indexes).header()
    assert '# extra-index-url = ["https://download.pytorch.org/whl/cpu"]' in header
    assert "example.com" not in header
