"""What the zoo's models do, tested inside a pinned environment: the real tests start it there, once a combination.

    python -m pytest tests/model_zoo/zoo_in_environment.py

pytest collects it only where it is named like this. Where the variable HARNESS_ZOO_DIGESTS names a file, that file
gets, as JSON, what must be equal or close between combinations:

    {"lstm": {"weights": "d38a…", "outputs": {"example": [{"digest": "01f2…", "shape": [2, 10], "sample": [0.25, …]}]}}}

`sample` holds 16 values, at fixed positions drawn over the flattened output.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench import Inputs, Model, NotApplicable, integers, tensors
from harness.bench.registry import discover, load

SMALLEST_STD = 0.01
LARGEST_STD = 100.0
# Far above the 1e-4 of a mismatch: a conversion that ignores its input must not pass.
SMALLEST_DIFFERENCE = 1e-2
TWIN_TOLERANCE = 1e-4
SMALLEST_ACCURACY = 0.97
SAMPLES = 16

Outputs = list[Any]
Digests = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Built:
    """A model with its weights, in eval mode, and its native outputs for the example and each probe."""

    model: Model
    module: Any
    weights: str
    inputs: dict[str, Inputs]
    outputs: dict[str, Outputs]


def weighted(model: Model) -> tuple[Any, str]:
    """The module with its trained or filled weights, in eval mode whatever it is handed over in, and their digest."""
    module, digest = tensors.build(model)
    return module.eval(), digest


def native(module: Any, inputs: Inputs) -> Outputs:
    import torch

    with torch.no_grad():
        return tensors.to_arrays(module(*tensors.to_tensors(inputs)))


def twin_outputs(built: Built, inputs: Inputs) -> Outputs:
    tensorflow = pytest.importorskip("tensorflow")
    assert built.model.twin is not None
    twin = built.model.twin({name: value.detach().numpy() for name, value in built.module.state_dict().items()})
    result = twin(*(tensorflow.constant(value) for value in inputs.values()))
    return [one.numpy() for one in (result if isinstance(result, (tuple, list)) else (result,))]


def breaks_by_hand(model: Model) -> bool:
    """Whether the twin makes a mistake on purpose."""
    return model.expected_breaks.startswith("manual-recreation")


def relative_error(a: Any, b: Any) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def described(output: Any) -> dict[str, Any]:
    flat = output.reshape(-1)
    chosen = integers((SAMPLES,), low=0, high=flat.size, seed="sample")
    digest = hashlib.sha256(np.ascontiguousarray(output).tobytes()).hexdigest()[:16]
    return {"digest": digest, "shape": list(output.shape), "sample": flat[chosen].tolist()}


@pytest.fixture(scope="session")
def digests() -> Iterator[Digests]:
    """Filled by `built`, written when everything has run."""
    found: Digests = {}
    yield found
    target = os.environ.get("HARNESS_ZOO_DIGESTS")
    if target:
        Path(target).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def _imports_before_tensorflow() -> None:
    """Import what models need before any twin does: some of it crashes once TensorFlow is imported, as in the bench."""
    for name in dict.fromkeys(name for entry in discover().models.values() for name in entry.declared.imports):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _models() -> Iterator[Any]:
    """The names of all models; the heavy ones of the last tier are marked as long."""
    for name, entry in sorted(discover().models.items()):
        yield pytest.param(name, marks=[pytest.mark.long] if entry.declared.tier == "full" else [])


@pytest.fixture(scope="module", params=_models())
def built(request: pytest.FixtureRequest, digests: Digests) -> Built:
    name = request.param
    model = load(discover().models[name].path, "MODEL", Model).declared
    for imported in model.imports:
        pytest.importorskip(imported, exc_type=ImportError)
    try:
        module, weights = weighted(model)
    except NotApplicable as reason:
        pytest.skip(str(reason))
    inputs = {"example": model.example(), **{probe: make() for probe, make in model.probes.items()}}
    outputs = {key: native(module, value) for key, value in inputs.items()}
    digests[name] = {
        "weights": weights,
        "outputs": {key: [described(one) for one in value] for key, value in outputs.items()},
    }
    return Built(model, module, weights, inputs, outputs)


def test_weights_are_the_same_bits_when_built_again(built: Built) -> None:
    assert tensors.build(built.model)[1] == built.weights


def test_outputs_are_of_ordinary_size(built: Built) -> None:
    for key, outputs in built.outputs.items():
        for output in outputs:
            assert np.isfinite(output).all(), key
            assert SMALLEST_STD < output.std() < LARGEST_STD, key


def test_outputs_differ_between_inputs(built: Built) -> None:
    for (one, a), (other, b) in itertools.combinations(built.outputs.items(), 2):
        for left, right in zip(a, b, strict=True):
            if left.shape == right.shape:
                assert relative_error(left, right) > SMALLEST_DIFFERENCE, (one, other)


def test_twin_matches(built: Built) -> None:
    if built.model.twin is None or breaks_by_hand(built.model):
        pytest.skip("this model has no twin, or one that is wrong on purpose")
    for key, inputs in built.inputs.items():
        for output, reference in zip(twin_outputs(built, inputs), built.outputs[key], strict=True):
            assert output.shape == reference.shape, key
            assert output.dtype == reference.dtype, key
            assert relative_error(output, reference) <= TWIN_TOLERANCE, key


def test_a_twin_that_is_wrong_on_purpose_is_wrong_on_the_example(built: Built) -> None:
    if not breaks_by_hand(built.model) or built.model.family == "canary":
        pytest.skip("this model has no twin, or a right one")
    (output,), (reference,) = twin_outputs(built, built.inputs["example"]), built.outputs["example"]
    assert not relative_error(output, reference) <= TWIN_TOLERANCE


def test_trained_models_are_accurate(built: Built) -> None:
    if built.model.labelled is None:
        pytest.skip("this model has no labelled data set")
    inputs, labels = built.model.labelled()
    assert (native(built.module, inputs)[0].argmax(axis=1) == labels).mean() >= SMALLEST_ACCURACY


def test_weight_norm_breaks_a_twin_that_goes_by_name() -> None:
    from torch.nn.utils import parametrizations

    model = load(discover().models["weight-norm"].path, "MODEL", Model).declared
    module, weights = weighted(model)
    inputs = dict(model.example())
    built = Built(model, module, weights, {"example": inputs}, {"example": native(module, inputs)})
    if hasattr(parametrizations, "weight_norm"):
        with pytest.raises(KeyError, match="weight_g"):
            twin_outputs(built, inputs)
    else:
        (output,), (reference,) = twin_outputs(built, inputs), built.outputs["example"]
        assert relative_error(output, reference) <= TWIN_TOLERANCE
