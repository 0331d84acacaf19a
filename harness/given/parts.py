"""What is particular of a model file that is written for a spec: how its module is built, and its inputs are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bench.errors import UsageError
from harness.given import hugging_face
from harness.given.inputs import Input, Size
from harness.given.specs import Spec

_DETECTION = ("fasterrcnn_", "fcos_", "keypointrcnn_", "maskrcnn_", "retinanet_", "ssd300_", "ssdlite320_")
_VIDEO = ("mc3_", "mvit_", "r2plus1d_", "r3d_", "s3d", "swin3d_")
_FLOW = ("raft_",)

# Found by trying 1.0, 1.2, 1.3, 1.4 and 1.5: the least by which the output differs by some per cent between images.
_GAINS = {
    "alexnet": 1.3,
    "deeplabv3_mobilenet": 1.25,
    "densenet": 1.2,
    "efficientnet_b": 1.35,
    "googlenet": 1.3,
    "inception_v3": 1.3,
    "lraspp_mobilenet": 1.25,
    "mnasnet": 1.2,
    "mobilenet_v2": 1.2,
    "mobilenetv2": 1.2,
    "mobilenet_v3": 1.3,
    "mobilenetv3": 1.3,
    "s3d": 1.3,
    "shufflenet": 1.2,
    "squeezenet": 1.3,
    "vgg": 1.3,
}
"""By part of a model's name: without residual connections what differs between images fades from layer to layer."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """How the module is built: the lines of `build`, the modules that it imports, and what a person may change.

    `gain` scales the weights that the bench fills, None where they are as they should be.
    """

    summary: str
    lines: tuple[str, ...]
    imports: tuple[str, ...]
    change: str = ""
    gain: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Example:
    """How inputs are made: an expression for each path, in terms of `seed` and of the sizes that may vary.

    `before` are lines before them, `more` further arguments that these lines need; `probes` are further calls, name to
    arguments. Of each size that may vary there is what it is in the example, and what in probes.
    """

    entries: Mapping[str, str]
    dynamic: Mapping[str, Mapping[int, str]]
    sizes: Mapping[str, tuple[int, tuple[int, ...]]]
    before: tuple[str, ...] = ()
    more: str = ""
    told: str = ""
    probes: Mapping[str, str] = field(default_factory=dict)


def build_of(spec: Spec) -> Build:
    """How the module of `spec` is built. Raises `UsageError` where its configuration cannot be read."""
    if spec.kind == "hf":
        config = hugging_face.read_config(spec.text, Path(spec.target))
        return Build(
            summary=f"{config['model_type']} of Transformers, from a configuration",
            lines=("return hugging_face_model(CONFIG)",),
            imports=("torch", "transformers"),
            change="Another head is another entry in CONFIG's architectures.",
            config=config,
        )
    if spec.kind in ("torchvision", "timm"):
        _refuse_detector(spec)
        return Build(
            summary=f"{spec.target} of {spec.kind}",
            lines=(f'return {spec.kind}_model("{spec.target}")',),
            imports=("torch", spec.kind),
            gain=next((gain for part, gain in _GAINS.items() if part in spec.target), None),
            change=f'Options of {spec.kind} go here: {spec.kind}_model("{spec.target}", num_classes=10).',
        )
    return _factory(spec)


def _refuse_detector(spec: Spec) -> None:
    """Without training it finds nothing, which every conversion gets right, or is sure of nothing, and none does."""
    if spec.kind == "torchvision" and spec.target.startswith(_DETECTION):
        msg = (
            f"{spec.text} detects nothing with weights that are not trained: there would be nothing to compare. Write"
            f" a file with a threshold that fits (`harness new-model`); ssdlite in the zoo is one to copy."
        )
        raise UsageError(msg)


def _factory(spec: Spec) -> Build:
    module, _, attribute = spec.target.partition(":")
    first, dot, rest = attribute.partition(".")
    # Whatever the user's is called, it does not hide what is imported beside it.
    name = f"{first}_given" if first in ("deepcopy", "nn") else first
    imported = f"from {module} import {first}" + (f" as {name}" if name != first else "")
    called = f"{name}{dot}{rest}"
    imports = sorted([imported, "from torch import nn"], key=lambda line: line.split()[1])
    return Build(
        summary=f"{attribute} of {module}",
        lines=(
            "from copy import deepcopy",
            "",
            *imports,
            "",
            "# What is a module already is copied, since weights are filled in place.",
            f"return deepcopy({called}) if isinstance({called}, nn.Module) else {called}()",
        ),
        imports=("torch",),
        change=f"What {attribute} is to be called with goes into its brackets below.",
    )


def example_of(spec: Spec, config: Mapping[str, Any]) -> Example:
    """The inputs that the library says of itself. Raises `UsageError` where nobody does, with what to write."""
    if spec.kind == "torchvision":
        return _torchvision(spec.target)
    if spec.kind == "timm":
        return Example(
            entries={"x": "patches((batch, channels, height, width), seed=seed)"},
            dynamic={"x": {0: "batch"}},
            sizes=_BATCH,
            before=(f'channels, height, width = timm_size("{spec.target}")',),
        )
    if spec.kind == "hf":
        family = hugging_face.family_of(config)
        if not family:
            raise hugging_face.unknown_family(spec.text, config)
        return _HUGGING_FACE[family](config)
    msg = (
        f"{spec.text} needs --input, once for each tensor that its forward takes, by the parameter's name: "
        f"--input 'x:float32[batch=2,3,224,224]' or --input 'ids:int64[batch=2,length=16]<1000'. A size with a name "
        f"may vary."
    )
    raise UsageError(msg)


_BATCH = {"batch": (2, (1, 3))}


def _torchvision(name: str) -> Example:
    size = (f'size = torchvision_size("{name}")',)
    if name.startswith(_VIDEO):
        return Example(
            entries={"x": "patches((batch, 3, 16, size, size), seed=seed)"},
            dynamic={"x": {0: "batch"}},
            sizes=_BATCH,
            before=size,
            told="A clip has 16 frames.",
        )
    if name.startswith(_FLOW):
        return Example(
            entries={
                image: f'patches((batch, 3, 128, 128), seed=f"{image} {{seed}}", low=-1.0, high=1.0)'
                for image in ("image1", "image2")
            },
            dynamic={image: {0: "batch"} for image in ("image1", "image2")},
            sizes=_BATCH,
            told="Flow is estimated from images of 128 by 128 pixels on.",
        )
    parameter = "input" if name.startswith("lraspp_") else "x"
    return Example(
        entries={parameter: "patches((batch, 3, size, size), seed=seed)"},
        dynamic={parameter: {0: "batch"}},
        sizes=_BATCH,
        before=size,
    )


_IDS = "integers((batch, {length}), low=4, high=vocabulary, seed={seed})"
_TOKENS = "# The first ids often stand for padding, begin and end."
_PIXELS = "patches((batch, channels, height, width), seed={seed})"
_MASK = ("attention_mask = integers((batch, sequence), low=1, high=2)", "attention_mask[0, sequence - padding :] = 0")


def _lengths(config: Mapping[str, Any], *names: str) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Lengths of sequences for which a model has positions enough, a half more in a probe among them."""
    given = [config.get(name) for name in ("max_position_embeddings", "n_positions", "max_target_positions")]
    most = min([known for known in given if isinstance(known, int) and known > 0], default=512)
    length = max(1, min(16, most * 2 // 3))
    return {name: (length, tuple({max(1, length // 2), length + length // 2} - {length})) for name in names}


def _text(config: Mapping[str, Any]) -> Example:
    return Example(
        entries={"input_ids": _IDS.format(length="sequence", seed="seed"), "attention_mask": "attention_mask"},
        dynamic={name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask")},
        sizes={**_BATCH, **_lengths(config, "sequence")},
        before=(*_MASK, "vocabulary = hugging_face_config(CONFIG).vocab_size", _TOKENS),
        more="padding: int = 0",
        told="Of the first row `padding` tokens are masked.",
        probes={"padded": "seed=3, padding=2"},
    )


def _text_to_text(config: Mapping[str, Any]) -> Example:
    text = _text(config)
    return Example(
        entries={
            "input_ids": _IDS.format(length="sequence", seed="seed"),
            "attention_mask": "attention_mask",
            "decoder_input_ids": _IDS.format(length="target", seed='f"target {seed}"'),
        },
        dynamic={**text.dynamic, "decoder_input_ids": {0: "batch", 1: "target"}},
        sizes={**text.sizes, "target": (6, (4, 9))},
        before=text.before,
        more=text.more,
        told=text.told,
        probes=text.probes,
    )


def _images(_: Mapping[str, Any]) -> Example:
    return Example(
        entries={"pixel_values": _PIXELS.format(seed="seed")},
        dynamic={"pixel_values": {0: "batch"}},
        sizes=_BATCH,
        before=("channels, height, width = hugging_face_size(CONFIG)",),
    )


def _waveforms(_: Mapping[str, Any]) -> Example:
    return Example(
        entries={"input_values": "uniform((batch, samples), seed=seed)"},
        dynamic={"input_values": {0: "batch", 1: "samples"}},
        sizes={**_BATCH, "samples": (8000, (6000, 10000))},
    )


def _spectrograms(_: Mapping[str, Any]) -> Example:
    return Example(
        entries={
            "input_features": "uniform((batch, config.num_mel_bins, 2 * config.max_source_positions), seed=seed)",
            "decoder_input_ids": _IDS.format(length="target", seed="seed"),
        },
        dynamic={"input_features": {0: "batch"}, "decoder_input_ids": {0: "batch", 1: "target"}},
        sizes={**_BATCH, "target": (6, (4, 9))},
        before=("config = hugging_face_config(CONFIG)", "vocabulary = config.vocab_size", _TOKENS),
    )


def _images_and_text(config: Mapping[str, Any]) -> Example:
    text = config.get("text_config")
    inner = _text(text if isinstance(text, dict) else {})
    return Example(
        entries={
            "input_ids": _IDS.format(length="sequence", seed="seed"),
            "pixel_values": _PIXELS.format(seed="seed"),
            "attention_mask": "attention_mask",
        },
        dynamic={
            "input_ids": {0: "batch", 1: "sequence"},
            "pixel_values": {0: "batch"},
            "attention_mask": {0: "batch", 1: "sequence"},
        },
        sizes=inner.sizes,
        before=(
            *_MASK,
            "channels, height, width = hugging_face_size(CONFIG)",
            "vocabulary = hugging_face_config(CONFIG).text_config.vocab_size",
            _TOKENS,
        ),
        more=inner.more,
        told=inner.told,
        probes=inner.probes,
    )


_HUGGING_FACE = {
    "text": _text,
    "text-to-text": _text_to_text,
    "images": _images,
    "waveforms": _waveforms,
    "spectrograms": _spectrograms,
    "images-and-text": _images_and_text,
}


def example_from(inputs: Sequence[Input]) -> Example:
    """The inputs that somebody wrote down."""
    sizes: dict[str, Size] = {size.name: size for each in inputs for size in each.sizes if size.name}
    return Example(
        entries={each.path: _values(each, alone=len(inputs) == 1) for each in inputs},
        dynamic={each.path: each.dynamic for each in inputs if each.dynamic},
        sizes={name: (size.size, size.others) for name, size in sizes.items()},
    )


def _values(each: Input, *, alone: bool) -> str:
    """The expression for the array of one input. Each has values of its own, so that two can be told apart."""
    sizes = [size.name or str(size.size) for size in each.sizes]
    shape = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
    seed = "seed=seed" if alone else f'seed=f"{each.path} {{seed}}"'
    if not each.dtype.startswith(("float", "complex")):
        # One value throughout is a range of one.
        high = each.high + (each.low == each.high)
        made = f"integers({shape}, low={each.low}, high={high}, {seed})"
        return made if each.dtype == "int64" else f'{made}.astype("{each.dtype}")'
    values = "" if (each.low, each.high) == (-1, 1) else f", low={each.low}, high={each.high}"
    made = f"uniform({shape}, {seed}{values})"
    if each.dtype.startswith("complex"):
        imaginary = seed.replace("{seed}", "{seed} imaginary") if not alone else 'seed=f"{seed} imaginary"'
        made = f"({made} + 1j * uniform({shape}, {imaginary}{values}))"
    return made if each.dtype == "float32" else f'{made}.astype("{each.dtype}")'
