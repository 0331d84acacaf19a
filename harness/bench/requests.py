"""What the bench asks of its children: one typed request a kind of child, a JSON file in the child's own folder.

``launch.py ROLE FOLDER`` starts a child; it reads ``FOLDER/request.json``, works in FOLDER, and leaves there

- ``stages.jsonl``: each stage, written before it begins, with what is known by then (`harness.bench.progress`),
- ``result.json``: outcome, and what the kind of child adds; absent where it died,
- ``log.txt``: what it printed (capped; nothing is read from it but its end, for a person).

Nothing goes through stdout, which belongs to the frameworks. Expected failures are data, in ``result.json``; a child
that dies or hangs is an outcome of its own. A request names every file that its child has to read: a child looks
nothing up and executes no other file of a user's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.bench.record import write_json

REQUEST_FILE = "request.json"
BUILT_FILE = "built.json"
"""What a `BuildRequest` leaves beside the inputs and native outputs; read by whoever converts or serves."""

ORDERS, ANSWERS = "orders", "answers"
"""The named pipes in the folder of a process of a duel; `harness.bench.duelling` says what goes through them."""

TURN = "turn"
"""The named pipe in the folder of a serving process that waits for its turn (`harness.bench.turns`)."""

AFTER_FILE, BENCHMARK_FILE = "outputs-after.npz", "benchmark.json"
"""What a process that was timed leaves beside its outputs: the example's once more, and pytest-benchmark's own file."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What all kinds share. `folder` is the child's own; `role` is the module of `harness.bench` that serves it.

    `imports` are the modules that the child imports first, at the stage `import`. `paths` are folders of a user's own
    code, for the end of `sys.path`.
    """

    role: ClassVar[str]

    folder: str
    imports: tuple[str, ...] = ()
    threads: int = 1
    paths: tuple[str, ...] = ()

    def write(self) -> Path:
        """Write the request into its folder, which must be there, and return the file."""
        path = Path(self.folder) / REQUEST_FILE
        write_json(path, {"role": self.role, **asdict(self)})
        return path


@dataclass(frozen=True, kw_only=True)
class DescribeRequest(Request):
    """Import files that declare models, steps, strategies or runtimes, and tell what they declare.

    Reads `files`, each a kind (`model`, `step`, `strategy`, `runtime`) and a path, and imports one after the other.
    Leaves ``described.jsonl``, a line before each file and one after it: see `harness.bench.describe`.
    """

    role = "describe"

    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class BuildRequest(Request):
    """Build a model once, and run it on its example and probes.

    Reads `model_file`. Leaves ``inputs-<i>.npz`` and ``native-<i>.npz`` for each input set, ``labelled.npz`` and
    ``labels.npz`` where the model has such data, and ``built.json``: see `harness.bench.building`.
    """

    role = "building"

    model: str
    model_file: str


@dataclass(frozen=True, kw_only=True)
class ConvertRequest(Request):
    """Run a strategy's steps one after the other.

    Reads `model_file`, the files of `steps` (name, path) and the folder `built` of a `BuildRequest`. Leaves the steps'
    artifacts in ``artifact-<i>/``; the result has `kind`, `path`, `facts`, `artifact_bytes` and `convert_s`.
    `parameters` are what the strategy's spelling binds.
    """

    role = "converting"

    model: str
    model_file: str
    steps: tuple[tuple[str, str], ...]
    built: str
    parameters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ServeRequest(Request):
    """Serve one artifact in a process that imports its runtime alone, and time it.

    Reads `runtime_file`, the artifact (`kind`, `artifact`), and from the folder `built` the inputs of `sets`, which
    are called `input_names`. `model_file` is there for runtimes that serve PyTorch itself, and empty for every other.
    With `batch` above 0 the labelled data is served too, in batches of that size. With `in_turn` it loads when a byte
    comes through the named pipe ``turn`` in its folder, and sleeps until then once it has imported.
    Leaves ``outputs-<i>.npz`` for each set that ran, ``outputs-after.npz`` (the example's, as the last timed call
    returned them), ``predictions.npz`` and ``benchmark.json``. The result has `rejected` (by set), `rss_peak_mb` and,
    unless `asks_facts` is False, `facts` (figures of this runtime alone).
    """

    role = "serve"

    runtime: str
    runtime_file: str
    kind: str
    artifact: str
    device: str
    built: str
    input_names: tuple[str, ...]
    sets: tuple[int, ...]
    measure_s: float
    batch: int = 0
    model_file: str = ""
    asks_facts: bool = True
    in_turn: bool = False


@dataclass(frozen=True, kw_only=True)
class DuelRequest(ServeRequest):
    """Serve one artifact on one input set, and be timed in turns, as `harness.bench.duelling` tells.

    Reads what a `ServeRequest` does, and orders from the named pipe ``orders`` in its folder; answers go to the named
    pipe ``answers``. `measure_s` says for how long it may warm up, as where it is timed at once; each turn is as
    long as its order says. Leaves ``outputs-<i>.npz`` and ``outputs-after.npz``. The result has `warm_up` and the
    memory's peak.
    """

    role = "duelling"


@dataclass(frozen=True, kw_only=True)
class LocateRequest(Request):
    """Say where a mismatch of an ONNX artifact begins, on the input set `index`.

    Reads `model_file`, `artifact`, whose inputs are called `input_names`, and from the folder `built` the inputs and
    the native outputs. `tolerance` is the relative error from which the cell is mismatched. Beyond `most_mb` (MiB) of
    PyTorch's intermediate values, and beyond `time_s` seconds, it gives up. The result has `begins` (see
    `harness.bench.location.Begins`) or `not_located`, the reason why not, and `answers_alike`: whether that is that the
    artifact answers as PyTorch does.
    """

    role = "locating"

    model_file: str
    artifact: str
    input_names: tuple[str, ...]
    built: str
    index: int
    tolerance: float
    most_mb: float
    time_s: float


@dataclass(frozen=True, kw_only=True)
class ReproduceRequest(Request):
    """Tell how a model takes its inputs, for a script that does the same without the harness.

    Reads `model_file`. `input_sets` are the probes whose values are asked for; the example is ``""``. The result is
    told in `harness.bench.reproducing`.
    """

    role = "reproducing"

    model_file: str
    input_sets: tuple[str, ...] = ("",)


_KINDS: tuple[type[Request], ...] = (
    DescribeRequest,
    BuildRequest,
    ConvertRequest,
    ServeRequest,
    DuelRequest,
    LocateRequest,
    ReproduceRequest,
)


def read_request(path: Path) -> Request:
    """The request in a file that `Request.write` wrote."""
    value = json.loads(path.read_text(encoding="utf-8"))
    kind = {k.role: k for k in _KINDS}[value.pop("role")]
    return kind(**{name: _frozen(item) for name, item in value.items()})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
