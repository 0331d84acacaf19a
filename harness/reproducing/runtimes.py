"""The runtimes as a person would write them, for scripts that need no harness; see `harness.reproducing.steps`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.reproducing.facts import PlainServing, ScriptFacts


def _torch(facts: ScriptFacts, artifact: str) -> PlainServing:
    load = f'model.load_state_dict(torch.load("{artifact}", map_location="cpu", weights_only=True))'
    place = "" if facts.device == "cpu" else "model.cuda()\n"
    given = "torch.from_numpy(value)" + ("" if facts.device == "cpu" else ".cuda()")
    run = (
        f"tensors = tuple({given} for value in inputs.values())\n"
        "with torch.no_grad():\n"
        f"    outputs = [np.asarray(leaf.cpu()) for leaf in flatten({facts.call('model')})]"
    )
    return PlainServing(imports=(), load=place + load, run=run)


def _onnxruntime(facts: ScriptFacts, artifact: str) -> PlainServing:
    provider = "CPUExecutionProvider" if facts.device == "cpu" else "CUDAExecutionProvider"
    return PlainServing(
        imports=("import onnxruntime",),
        load=f'session = onnxruntime.InferenceSession("{artifact}", providers=["{provider}"])',
        run="outputs = session.run(None, {each.name: inputs[each.name] for each in session.get_inputs()})",
    )


def _tensorflow(facts: ScriptFacts, artifact: str) -> PlainServing:
    names = "served.structured_input_signature[1]"
    if facts.output_count == 1:
        ordered = "list(result)"
    else:
        ordered = 'sorted(result, key=lambda name: int(name.rpartition("_")[2]))'
    return PlainServing(
        imports=("import tensorflow as tf",),
        load=f'loaded = tf.saved_model.load("{artifact}")\nserved = loaded.signatures["serving_default"]',
        run=(
            f"result = served(**{{name: tf.constant(inputs[name]) for name in {names}}})\n"
            f"outputs = [result[name].numpy() for name in {ordered}]"
        ),
    )


RUNTIMES: Mapping[str, Callable[[ScriptFacts, str], PlainServing]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "tensorflow": _tensorflow,
}
"""By the name of a runtime: its code, given the facts and the name of the artifact."""
