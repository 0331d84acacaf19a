"""The steps as a person would write them, for scripts that need no harness.

They stand here and not in the steps' files since they have no say in what a run records: the digest of a strategy is
of those. A step that has none here is told as such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from packaging.version import Version

from harness.bench.structure import has_number_keys
from harness.reproducing.facts import NotReproducibleError, PlainCall, ScriptFacts, as_call, as_code, as_tuple

_TF = "import tensorflow as tf"
_DYNAMO_SINCE = Version("2.5")


def _state_dict(facts: ScriptFacts, source: str) -> PlainCall:
    del facts, source
    return PlainCall(imports=(), code='torch.save(model.state_dict(), "state.pt")', leaves="state.pt")


def _torchscript(facts: ScriptFacts, source: str) -> PlainCall:
    del source
    positional = facts.binding.positional
    if facts.binding.plain:
        module, args = "model", "tensors"
    elif positional is None or facts.binding.needs_wrapper or any(map(has_number_keys, positional)):
        module, args = facts.flat, "tensors"
    else:
        written = [facts.written(spec) for spec in positional]
        # A dict that comes last would be taken for keyword arguments.
        written += ["{}"] if positional and "dict" in positional[-1] else []
        module, args = "model", as_tuple(written)
    arguments = [module, args, '"model.onnx"', f"input_names={as_code(facts.input_names)}"]
    arguments += [f"output_names={as_code(facts.output_names)}"]
    arguments += [f"dynamic_axes={as_code(facts.dynamic)}"] if facts.dynamic else []
    arguments += _opset(facts)
    imports: tuple[str, ...] = ()
    code = ""
    if _dynamo_is_there(facts):
        # Older versions do not know the parameter, and the script is to run with theirs too.
        imports = ("import inspect",)
        code = 'exporter = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}\n'
        arguments += ["**exporter"]
    return PlainCall(imports=imports, code=code + as_call("torch.onnx.export", arguments), leaves="model.onnx")


def _torchscript_static(facts: ScriptFacts, source: str) -> PlainCall:
    return _torchscript(replace(facts, dynamic={}), source)


def _dynamo(facts: ScriptFacts, source: str) -> PlainCall:
    del source
    wrapped = facts.binding.needs_wrapper or not all(facts.binding.names)
    module = facts.flat if wrapped else "model"
    args, kwargs = ("tensors", {}) if wrapped else facts.arguments()
    if not wrapped and facts.binding.args and "dict" in facts.binding.args[-1]:
        # A dict that comes last would be taken for keyword arguments, unless there are some.
        *first, last = facts.binding.args
        args = as_tuple([facts.written(spec) for spec in first])
        kwargs = {facts.binding.names[len(first)]: facts.written(last), **kwargs}
    arguments = [module, args, '"model.onnx"']
    arguments += (
        ["kwargs={" + ", ".join(f"{as_code(name)}: {code}" for name, code in kwargs.items()) + "}"] if kwargs else []
    )
    arguments += [f"input_names={as_code(facts.input_names)}", f"output_names={as_code(facts.output_names)}"]
    code = ""
    if facts.dynamic:
        names = sorted({name for axes in facts.dynamic.values() for name in axes.values()})
        code = "".join(f"dimension_{name} = torch.export.Dim({as_code(name)})\n" for name in names)
        arguments += [f"dynamic_shapes={_dynamic_shapes(facts, wrapped=wrapped)}"]
    arguments += ["dynamo=True", *_opset(facts)]
    return PlainCall(imports=(), code=code + as_call("torch.onnx.export", arguments), leaves="model.onnx")


def _dynamic_shapes(facts: ScriptFacts, *, wrapped: bool) -> str:
    """One mapping an input, in the containers that `forward` takes them in."""
    leaves = [
        "{" + ", ".join(f"{axis}: dimension_{word}" for axis, word in facts.dynamic.get(name, {}).items()) + "}"
        for name in facts.inputs
    ]
    if wrapped or facts.binding.plain:
        names = facts.input_names if wrapped else facts.binding.names
        named = dict(zip(names, leaves, strict=True))
    else:
        specs = {**dict(zip(facts.binding.names, facts.binding.args, strict=True)), **facts.binding.kwargs}
        named = {name: facts.written(spec) for name, spec in specs.items()}
        for index in reversed(range(len(leaves))):
            named = {name: code.replace(f"tensors[{index}]", leaves[index]) for name, code in named.items()}
    return "{" + ", ".join(f"{as_code(name)}: {code}" for name, code in named.items()) + "}"


def _checked(facts: ScriptFacts, source: str) -> PlainCall:
    del facts
    return PlainCall(imports=("import onnx",), code=f"onnx.checker.check_model({as_code(source)})", leaves=source)


def _simplified(facts: ScriptFacts, source: str) -> PlainCall:
    del facts
    code = f'onnx.save(onnxslim.slim(onnx.load({as_code(source)})), "slim.onnx")'
    return PlainCall(imports=("import onnx", "import onnxslim"), code=code, leaves="slim.onnx")


def _twin(facts: ScriptFacts, source: str) -> PlainCall:
    del source
    code = (
        "state = {name: value.detach().numpy() for name, value in model.state_dict().items()}\n"
        f"recreated = {facts.twin}\n{_saved(facts, 'recreated({})')}"
    )
    return PlainCall(imports=(_TF,), code=code, leaves="saved_model")


def _nobuco(facts: ScriptFacts, source: str) -> PlainCall:
    del source
    shapes = [
        [None if axis in facts.dynamic.get(name, {}) else size for axis, size in enumerate(shape)]
        for name, (_, shape) in facts.inputs.items()
    ]
    arguments = [
        facts.flat,
        "args=list(tensors)",
        "input_shapes={" + ", ".join(f"tensors[{i}]: {shape}" for i, shape in enumerate(shapes)) + "}",
        "inputs_channel_order=nobuco.ChannelOrder.PYTORCH",
        "outputs_channel_order=nobuco.ChannelOrder.PYTORCH",
        "trace_shape=True",
    ]
    called = "network({}, training=False)" if len(shapes) == 1 else "network([{}], training=False)"
    code = f"network = {as_call('nobuco.pytorch_to_keras', arguments)}\n{_saved(facts, called)}"
    return PlainCall(imports=(_TF, "import nobuco"), code=code, leaves="saved_model")


def _onnx_tf(facts: ScriptFacts, source: str) -> PlainCall:
    del facts
    code = f'onnx_tf.backend.prepare(onnx.load({as_code(source)})).export_graph("saved_model")'
    return PlainCall(imports=("import onnx", "import onnx_tf.backend"), code=code, leaves="saved_model")


def _onnx2tf(facts: ScriptFacts, source: str) -> PlainCall:
    if any(shape[3:] == (3,) for _, shape in facts.inputs.values()):
        msg = "onnx2tf would download photographs for inputs of this shape: use another model to show it."
        raise NotReproducibleError(msg)
    arguments = [
        f"input_onnx_file_path={as_code(source)}",
        'output_folder_path="saved_model"',
        "not_use_onnxsim=True",
        f"keep_shape_absolutely_input_names={as_code(facts.input_names)}",
        "output_signaturedefs=True",
    ]
    return PlainCall(imports=("import onnx2tf",), code=as_call("onnx2tf.convert", arguments), leaves="saved_model")


def _tf2onnx(facts: ScriptFacts, source: str) -> PlainCall:
    words = ["tf2onnx.convert", "--saved-model", source, "--output", "converted.onnx"]
    words += ["--tag", "serve", "--signature_def", "serving_default"]
    words += ["--opset", str(facts.parameters["opset"])] if "opset" in facts.parameters else []
    listed = ", ".join(f'"{word}"' for word in words)
    code = f"# python -m {' '.join(words)}\nsys.argv = [{listed}]\ntf2onnx.convert.main()"
    return PlainCall(imports=("import sys", "import tf2onnx.convert"), code=code, leaves="converted.onnx")


def _tflite(facts: ScriptFacts, source: str) -> PlainCall:
    del facts
    code = (
        f"converted = tf.lite.TFLiteConverter.from_saved_model({as_code(source)}).convert()\n"
        'pathlib.Path("model.tflite").write_bytes(converted)'
    )
    return PlainCall(imports=(_TF, "import pathlib"), code=code, leaves="model.tflite")


def _litert(facts: ScriptFacts, source: str) -> PlainCall:
    del source
    code = f'litert_torch.convert({facts.flat}, tensors).export("model.tflite")'
    return PlainCall(imports=("import litert_torch",), code=code, leaves="model.tflite")


def _coreml(facts: ScriptFacts, source: str) -> PlainCall:
    del source
    types = [
        f"coremltools.TensorType(name={as_code(name)}, shape={shape!r}, dtype=np.{dtype})"
        for name, (dtype, shape) in facts.inputs.items()
    ]
    arguments = ["traced", f"inputs=[{', '.join(types)}]", 'convert_to="mlprogram"']
    code = (
        f"with torch.no_grad():\n    traced = torch.jit.trace({facts.flat}, tensors)\n"
        f'{as_call("coremltools.convert", arguments)}.save("model.mlpackage")'
    )
    return PlainCall(imports=("import coremltools",), code=code, leaves="model.mlpackage")


def _jax(facts: ScriptFacts, source: str) -> PlainCall:
    del source
    lowering = ["function", "with_gradient=False", "native_serialization=True"]
    lowering += ['native_serialization_platforms=("cpu", "cuda")']
    exported = f"torch.export.export({facts.flat}, tensors)"
    code = (
        f"weights, function = torchax.export.exported_program_to_jax({exported})\n"
        f"lowered = {as_call('jax2tf.convert', lowering)}\n"
        "variables = tf.nest.map_structure(tf.Variable, weights)\n"
        f"{_saved(replace(facts, dynamic={}), 'lowered(variables, ({},))')}"
    )
    imports = (_TF, "import torchax.export", "from jax.experimental import jax2tf")
    return PlainCall(imports=imports, code=code, leaves="saved_model")


def _saved(facts: ScriptFacts, called: str) -> str:
    """Code that saves what `called` calls, `{}` standing for the inputs, as a SavedModel."""
    names = ", ".join(facts.input_names)
    specs = []
    for name, (dtype, shape) in facts.inputs.items():
        sizes = [None if axis in facts.dynamic.get(name, {}) else size for axis, size in enumerate(shape)]
        specs.append(f'    tf.TensorSpec({sizes}, tf.{_TF_TYPES.get(dtype, dtype)}, name="{name}"),')
    answered = called.format(names)
    if facts.output_count == 1:
        answer = f'    return {{"output_0": tf.nest.flatten({answered})[0]}}'
    else:
        answer = f'    return {{f"output_{{i}}": output for i, output in enumerate(as_list({answered}))}}'
    lines = ["signature = [", *specs, "]"]
    if facts.output_count != 1:
        lines += ["as_list = tf.autograph.experimental.do_not_convert(flatten)"]
    lines += ["", "", "@tf.function(input_signature=signature)", f"def serve({names}):"]
    lines += [answer, "", "", "concrete = serve.get_concrete_function()", "served = tf.Module()"]
    lines += ["served.weights = list(concrete.variables)"]
    lines += ['tf.saved_model.save(served, "saved_model", signatures={"serving_default": concrete})']
    return "\n".join(lines)


_TF_TYPES = {"bool_": "bool"}


def _opset(facts: ScriptFacts) -> list[str]:
    return [f"opset_version={facts.parameters['opset']}"] if "opset" in facts.parameters else []


def _dynamo_is_there(facts: ScriptFacts) -> bool:
    """Whether `torch.onnx.export` has the parameter `dynamo`."""
    return Version(facts.packages["torch"]) >= _DYNAMO_SINCE


STEPS: Mapping[str, Callable[[ScriptFacts, str], PlainCall]] = {
    "module-to-state-dict": _state_dict,
    "module-to-onnx-torchscript": _torchscript,
    "module-to-onnx-torchscript-static": _torchscript_static,
    "module-to-onnx-dynamo": _dynamo,
    "module-to-saved-model-nobuco": _nobuco,
    "module-to-saved-model-jax": _jax,
    "module-to-tflite-litert": _litert,
    "module-to-coreml": _coreml,
    "onnx-checked": _checked,
    "onnx-simplified": _simplified,
    "onnx-to-saved-model-onnx-tf": _onnx_tf,
    "onnx-to-saved-model-onnx2tf": _onnx2tf,
    "twin-to-saved-model": _twin,
    "saved-model-to-onnx-tf2onnx": _tf2onnx,
    "saved-model-to-tflite": _tflite,
}
"""By the name of a step: its code, given the facts and what the step before it left."""
