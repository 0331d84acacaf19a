"""What becomes of the shapes, written down before: all passes that is not named here, with the tool's own words."""

from __future__ import annotations

from collections.abc import Mapping

Ends = tuple[str, str, str]
"""Outcome, stage, and a part of what is told."""

_UNTRACED = "of traced region did not have observable data dependence with trace inputs"
_NONE_VARIES = ("mismatched", "probe", "natively there is outputs[1], and on the example there is not")
_STEP_3 = "Error when translating node return"

_TORCHSCRIPT: Mapping[str, Ends] = {
    "complex": ("failed", "convert", "Exporting the operator 'aten::complex' to ONNX"),
    "dataclass": ("failed", "convert", "received an input of unsupported type: Record"),
    "scripted-and-left-out": ("failed", "convert", "no args may be None because that breaks type propagation"),
    "with-a-number": ("failed", "convert", _UNTRACED),
    "with-a-flag": ("failed", "convert", _UNTRACED),
    "a-number-that-varies": ("failed", "convert", _UNTRACED),
    "none-that-varies": _NONE_VARIES,
    "as-many-as-rows": ("failed", "execute", "Cannot split using values in 'split' attribute"),
}

_DYNAMO: Mapping[str, Ends] = {
    # It has complex numbers as pairs of real ones.
    "complex": ("mismatched", "match", "output: dtype float32 instead of complex64"),
    "dataclass": ("failed", "convert", "in output, which is not a known type"),
    "model-output": ("failed", "convert", "in output, which is not a known type"),
    "scripted": ("failed", "convert", "Exporting a ScriptModule is not supported"),
    "scripted-and-left-out": ("failed", "convert", "Exporting a ScriptModule is not supported"),
    "with-a-number": ("failed", "convert", _STEP_3),
    "with-a-flag": ("failed", "convert", _STEP_3),
    "none-that-varies": ("failed", "convert", "x * 3 if x[0, 0] < 0 else None"),
    "as-many-as-rows": ("failed", "convert", _STEP_3),
}

_NOBUCO: Mapping[str, Ends] = {
    "scripted": ("failed", "convert", "Unimplemented nodes"),
    "scripted-and-left-out": ("failed", "convert", "Unimplemented nodes"),
    "with-a-flag": ("mismatched", "match", "2 outputs instead of 3 (outputs.flag, outputs.size, outputs.out)"),
    "a-number-that-varies": ("mismatched", "match", "outputs[1] is a Python number that differs between inputs"),
    "none-that-varies": _NONE_VARIES,
    # It puts the dimension that `weights[..., None]` adds before the last one.
    "documented-wrapper": ("failed", "convert", "Dimensions must be equal, but are 8 and 6"),
}

_JAX: Mapping[str, Ends] = {
    "dataclass": ("failed", "convert", "in output, which is not a known type"),
    "model-output": ("failed", "convert", "in output, which is not a known type"),
    "scripted": ("failed", "convert", "Exporting a ScriptModule is not supported"),
    "scripted-and-left-out": ("failed", "convert", "torch._C.ScriptMethod"),
    "a-number-that-varies": ("failed", "convert", "Could not guard on data-dependent expression"),
    "none-that-varies": ("failed", "convert", "Could not guard on data-dependent expression"),
    # JAX has integers of 64 bits only where it is told to.
    "documented-wrapper": ("mismatched", "match", "outputs.best: dtype int32 instead of int64"),
}

TOO_OLD: Ends = ("not-applicable", "convert", "torch.onnx.export(dynamo=True) exists from torch 2.5 on")

REFUSED: Mapping[str, Mapping[str, Mapping[str, Ends]]] = {
    "torch2.0+tools": {
        "native": {},
        "onnx-torchscript": _TORCHSCRIPT,
        "onnx-dynamo": {"*": TOO_OLD},
        "nobuco": _NOBUCO,
    },
    "torch2.1+tools": {
        "native": {},
        "onnx-torchscript": _TORCHSCRIPT,
        "onnx-dynamo": {"*": TOO_OLD},
        "nobuco": _NOBUCO,
    },
    "torch2.9+tools": {"native": {}, "onnx-torchscript": _TORCHSCRIPT, "onnx-dynamo": _DYNAMO, "jax": _JAX},
}
"""By environment, strategy and shape; `*` stands for all shapes."""
