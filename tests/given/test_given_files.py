"""The files that are written for specs: what is in them, that they stay the same, and what is refused."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import cli
from harness.bench.definitions import Model
from harness.bench.errors import UsageError
from harness.bench.plan import split_models
from harness.bench.registry import discover, load, model_files
from harness.given.files import text_of
from harness.given.inputs import TYPES, Input, Size, parse_all
from harness.given.placing import placed
from harness.given.specs import Spec, parse

BERT = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "vocab_size": 100,
    "torch_dtype": "float16",
    "id2label": {"0": "no", "1": "yes", "2": 'it\'s "un\\clear"'},
    "label2id": {"no": 0},
    "time_step_limit": [0.0, float("inf")],
    "long": list(range(60)),
}


def spec(text: str) -> Spec:
    found = parse(text)
    assert found is not None
    return found


def executed(text: str) -> Model:
    """What a file declares; it imports no framework, so that it can be imported here."""
    ast.parse(text, feature_version=(3, 10))
    names: dict[str, Any] = {"__name__": "given"}
    exec(compile(text, "given.py", "exec"), names)
    found = names["MODEL"]
    assert isinstance(found, Model)
    return found


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """The arrays of nested dicts and lists, by path."""
    if isinstance(value, dict):
        parts = [(f"{path}.{key}" if path else key, item) for key, item in value.items()]
    elif isinstance(value, list):
        parts = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        return {path: value}
    return {name: array for path, item in parts for name, array in leaves(item, path).items()}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "my.bert"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(BERT), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "kind", "target", "name"),
    [
        ("torchvision:resnet18", "torchvision", "resnet18", "torchvision-resnet18"),
        ("timm:vit_tiny_patch16_224.augreg", "timm", "vit_tiny_patch16_224.augreg", "timm-vit-tiny-patch16-224-augreg"),
        ("hf:some/folder", "hf", "some/folder", "hf-folder"),
        ("hf:some/folder/config.json", "hf", "some/folder/config.json", "hf-folder"),
        ("package.module:factory", "factory", "package.module:factory", "factory"),
        ("module:Net.small", "factory", "module:Net.small", "Net-small"),
        ("my-net=package.module:factory", "factory", "package.module:factory", "my-net"),
        ("mine=hf:some/folder", "hf", "some/folder", "mine"),
    ],
)
def test_what_a_spec_is(text: str, kind: str, target: str, name: str) -> None:
    assert (spec(text).kind, spec(text).target, spec(text).name) == (kind, target, name)


@pytest.mark.parametrize(
    "text",
    [
        "resnet18",
        "res*",
        "models/mine.py",
        "a:b.py",
        "zoo:resnet18",
        "zoo:*",
        "own:mine",
        "entry-point:mine",
        "./a=b/c.py",
        "models/",
    ],
)
def test_paths_and_names_of_the_zoo_are_no_specs(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("torchvison:resnet18", "there is no torchvison:. Did you mean torchvision:resnet18?"),
        ("huggingface:folder", "Did you mean hf:folder?"),
        ("torchvision:res net", "must be one of its models, as in torchvision:resnet50"),
        ("timm:hf_hub:some/model", "must be one of its models"),
        ("torchvision:", "must be one of its models"),
        ("my-package:factory", "'my-package' cannot be the name of a module"),
        ("package:", "'' cannot be the name of a class, a function"),
        ("package:import.x", "'import.x' cannot be the name of a class"),
        ("package:a b", "A model without a file is torchvision:NAME, timm:NAME, hf:FOLDER or package.module:factory"),
        ("package:__", "no name can be made of this. Give it one, as in my-model=package:__"),
    ],
)
def test_a_wrong_spec_is_told(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert told in str(caught.value)


def test_a_module_of_ones_own_is_no_misspelt_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchvisio.py").touch()
    monkeypatch.chdir(tmp_path)
    assert spec("torchvisio:net").kind == "factory"


@st.composite
def examples(draw: st.DrawFn) -> list[Input]:
    sizes = [Size(name=name, size=draw(st.integers(1, 6))) for name in ("batch", "length")]
    found = []
    for path in draw(
        st.lists(st.sampled_from(("x", "y.ids", "y.mask", "z[0]", "w[0].a", "w[0].b[0]")), min_size=1, unique=True)
    ):
        dtype = draw(st.sampled_from(TYPES))
        low, high = draw(st.sampled_from(((0, 2), (0, 0), (1, 1))))
        dimensions = draw(
            st.lists(st.one_of(st.sampled_from(sizes), st.builds(Size, size=st.integers(1, 4))), max_size=3)
        )
        found.append(Input(path=path, dtype=dtype, sizes=tuple(dimensions), low=low, high=high))
    return found


@settings(deadline=None)
@given(examples())
def test_a_factory_gets_the_inputs_that_were_written_down(inputs: list[Input]) -> None:
    factory = spec("package.module:factory")
    text = text_of(factory, inputs)
    assert text == text_of(factory, inputs)
    model = executed(text)
    assert "\n    # " in text_of(factory, inputs, commented=True).partition("MODEL = ")[2]
    example = leaves(model.example())
    assert set(example) == {each.path for each in inputs}
    for each in inputs:
        array = np.asarray(example[each.path])
        assert array.shape == tuple(size.size for size in each.sizes)
        assert array.dtype == each.dtype
        real = array.real
        assert (real >= each.low).all()
        assert ((real < each.high) | (real == each.low)).all()
        assert dict(model.dynamic.get(each.path, {})) == each.dynamic
    for name, probe in model.probes.items():
        for path, value in leaves(probe()).items():
            array, was = np.asarray(value), np.asarray(example[path])
            assert (array.dtype, array.ndim) == (was.dtype, was.ndim)
            moved = {axis for axis, (a, b) in enumerate(zip(array.shape, was.shape, strict=True)) if a != b}
            named = {axis for axis, size in model.dynamic.get(path, {}).items() if name.startswith(f"{size} ")}
            assert moved == named


def test_probes_have_other_values_and_sizes() -> None:
    text = text_of(spec("package:make"), parse_all(["a:float32[batch=2,3]", "b:float32[batch,3]", "n:int64[len=4]<9"]))
    model = executed(text)
    assert list(model.probes) == ["other values", "more values", "batch 1", "batch 3", "len 2", "len 6"]
    example, other = model.example(), model.probes["other values"]()
    assert not np.array_equal(example["a"], example["b"]), "inputs that were exchanged would not be seen"
    assert not np.array_equal(example["a"], other["a"])
    assert model.probes["batch 3"]()["b"].shape == (3, 3)
    assert model.probes["len 6"]()["n"].shape == (6,)
    seeds = [np.asarray(probe()["n"]).tobytes() for probe in model.probes.values()]
    assert len(set(seeds)) == len(seeds)


def test_a_users_names_hide_nothing() -> None:
    text = text_of(spec("package:nn.Net"), parse_all(["x:float32[2]"]))
    assert "from package import nn as nn_given" in text
    assert "else nn_given.Net()" in text


@pytest.mark.parametrize(
    ("name", "inputs", "used"),
    [
        ("resnet50", ["x"], 'torchvision_size("resnet50")'),
        ("inception_v3", ["x"], 'torchvision_size("inception_v3")'),
        ("lraspp_mobilenet_v3_large", ["input"], "size"),
        ("r3d_18", ["x"], "(batch, 3, 16, size, size)"),
        ("s3d", ["x"], "(batch, 3, 16, size, size)"),
        ("raft_small", ["image1", "image2"], "(batch, 3, 128, 128)"),
    ],
)
def test_the_inputs_of_torchvision(name: str, inputs: list[str], used: str) -> None:
    text = text_of(spec(f"torchvision:{name}"), [])
    model = executed(text)
    assert list(model.dynamic) == inputs
    assert used in text
    assert f'torchvision_model("{name}")' in text
    assert model.imports == ("torch", "torchvision")


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn"])
def test_a_detector_that_is_not_trained_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"nothing to compare.*ssdlite in the zoo is one to copy"):
        text_of(spec(f"torchvision:{name}"), [])


@pytest.mark.parametrize(
    ("text", "gains"),
    [
        ("torchvision:efficientnet_b0", {"*": 1.35}),
        ("timm:tf_mobilenetv3_small_100", {"*": 1.3}),
        ("torchvision:quantized_googlenet", {"*": 1.3}),
        ("torchvision:resnet18", {}),
        ("torchvision:efficientnet_v2_s", {}),
    ],
)
def test_weights_are_scaled_where_a_signal_would_fade(text: str, gains: dict[str, float]) -> None:
    assert executed(text_of(spec(text), [])).gains == gains


def test_inputs_that_were_given_come_before_what_a_library_says() -> None:
    text = text_of(spec("torchvision:resnet18"), parse_all(["x:float32[batch=4,3,64,64]"]))
    assert "torchvision_size" not in text
    assert executed(text).example()["x"].shape == (4, 3, 64, 64)
    assert "timm_size" in text_of(spec("timm:resnet18"), [])


def test_a_configuration_goes_into_the_file(config: Path) -> None:
    text = text_of(spec(f"hf:{config}"), [])
    names: dict[str, Any] = {}
    exec(text, names)
    expected = {name: value for name, value in BERT.items() if name not in ("torch_dtype", "id2label", "label2id")}
    assert names["CONFIG"] == {**expected, "num_labels": 3}
    assert str(config.parent) not in text, "the file must be the same wherever the folder lies"
    assert list(names["MODEL"].dynamic) == ["input_ids", "attention_mask"]
    assert "padded" in names["MODEL"].probes
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("config", "inputs"),
    [
        ({"model_type": "gpt2"}, ["input_ids", "attention_mask"]),
        ({"model_type": "not-known-yet", "vocab_size": 5}, ["input_ids", "attention_mask"]),
        ({"model_type": "t5", "vocab_size": 5}, ["input_ids", "attention_mask", "decoder_input_ids"]),
        ({"model_type": "vit"}, ["pixel_values"]),
        ({"model_type": "not-known-yet", "image_size": 8, "num_channels": 3}, ["pixel_values"]),
        ({"model_type": "wav2vec2", "vocab_size": 5}, ["input_values"]),
        ({"model_type": "whisper", "vocab_size": 5}, ["input_features", "decoder_input_ids"]),
        ({"model_type": "clip", "text_config": {"vocab_size": 5}}, ["input_ids", "pixel_values", "attention_mask"]),
    ],
)
def test_the_inputs_of_hugging_face(tmp_path: Path, config: dict[str, Any], inputs: list[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert list(executed(text_of(spec(f"mine=hf:{tmp_path}"), [])).dynamic) == inputs


def test_sequences_are_no_longer_than_there_are_positions(tmp_path: Path) -> None:
    given = {"model_type": "bert", "vocab_size": 100, "max_position_embeddings": 12}
    (tmp_path / "config.json").write_text(json.dumps(given), encoding="utf-8")
    model = executed(text_of(spec(f"mine=hf:{tmp_path}"), []))
    lengths = [int(name.rpartition(" ")[2]) for name in model.probes if name.startswith("sequence ")]
    assert lengths == [4, 12]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "Nothing is downloaded here: save the configuration first, by AutoConfig.from_pretrained("),
        ("{", "is no JSON"),
        ("[]", "names no model_type"),
        ("{}", "names no model_type"),
        ('{"model_type": "x", "auto_map": {}}', "its code lies beside it"),
        ('{"model_type": "x", "quantization_config": {}}', "its weights are quantised"),
        ('{"model_type": "x"}', "which inputs a 'x' takes is not known here"),
        ('{"model_type": "x", "is_encoder_decoder": true, "vocab_size": 3}', "Give them by --input"),
    ],
)
def test_a_configuration_that_does_not_do_is_told(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        text_of(spec(f"mine=hf:{tmp_path}"), [])
    assert told in str(caught.value)


def test_a_factory_without_inputs_is_told_what_to_write() -> None:
    with pytest.raises(
        UsageError, match=r"package:make needs --input, once for each tensor.*'x:float32\[batch=2,3,224,224\]'"
    ):
        text_of(spec("package:make"), [])


def test_equal_specs_are_one_file_and_others_another(tmp_path: Path, config: Path) -> None:
    values = ["torchvision:resnet18", "resnet18", f"hf:{config}", "models/mine.py"]
    first = placed(tmp_path, values, []).models
    stamps = [Path(first[index]).stat().st_mtime_ns for index in (0, 2)]
    assert placed(tmp_path, values, []).models == first
    assert [Path(first[index]).stat().st_mtime_ns for index in (0, 2)] == stamps
    assert first[1::2] == ("resnet18", "models/mine.py")
    assert [Path(first[index]).name for index in (0, 2)] == ["torchvision_resnet18.py", "hf_my_bert.py"]
    other = placed(tmp_path, values[:1], ["x:float32[batch=2,3,64,64]"]).models
    assert other[0] != first[0]
    assert Path(other[0]).name == Path(first[0]).name
    registry = discover(models=[Path(first[0]), Path(first[2])])
    assert list(registry.models) == ["torchvision-resnet18", "hf-my-bert"]
    assert load(Path(first[0]), "MODEL", Model).error == ""


@pytest.mark.parametrize(
    ("models", "inputs", "told"),
    [
        (
            ["torchvision:resnet18", "timm:resnet18"],
            ["x:float32[2]"],
            "--input says what one model without a file takes",
        ),
        (["models/mine.py"], ["x:float32[2]"], "A file has its inputs in it"),
        ([], ["x:float32[2]"], "give --models one such model"),
        (["a:make", "b:make"], [], "a:make and b:make would both be called 'make'. Name one: other-name=b:make"),
        (["a=timm:vgg11", "a=torchvision:vgg11"], [], "both be called 'a'. Name one: other-name=torchvision:vgg11."),
        (["torchvision:resnet18"], ["x:float32"], "expected '['"),
        (["torchvision:resnet18", "a:make"], [], "a:make needs --input"),
    ],
)
def test_what_is_refused_writes_nothing(tmp_path: Path, models: list[str], inputs: list[str], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        placed(tmp_path, models, inputs)
    assert told in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["", "src"])
def test_a_factory_is_found_where_the_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / folder / "package").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    paths = placed(tmp_path, ["package.module:make"], ["x:float32[2]"]).paths
    assert paths == (tmp_path / folder,)
    assert placed(tmp_path, ["elsewhere:make"], ["x:float32[2]"]).paths == ()
    assert placed(tmp_path, ["torchvision:resnet18"], []).paths == ()


def _harness(*arguments: str | Path) -> Any:
    return CliRunner().invoke(cli.cli, [*map(str, arguments)], prog_name="harness")


def test_a_plan_of_a_model_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "small.in").write_text("# python: 3.11\nsix==1.16.0\n", encoding="utf-8")
    (tmp_path / "matrices" / "nightly.toml").write_text('combinations = ["small"]\n', encoding="utf-8")
    given = ("--models", "mine=package:make", "--input", "x:float32[batch=2,3]")
    done = _harness("--root", tmp_path, "plan", "small", *given, "--strategies", "native", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert done.stdout == "small/mine/native\n"
    done = _harness("--root", tmp_path, "plan", "small", "--models", "mine=package:make", "--input", "x:flot32[2]")
    assert done.exit_code == 2
    assert "\n  x:flot32[2]\n    ^\n" in done.stderr


def test_a_spec_becomes_a_file_to_go_on_from(tmp_path: Path, config: Path) -> None:
    done = _harness("new-model", "--folder", tmp_path / "models", "my-net", "--from", f"hf:{config}")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "models" / "my_net.py").read_text(encoding="utf-8")
    assert "# Weights of your own: " in text
    assert "# Another head is another entry in CONFIG's architectures." in text
    short, plain = executed(text), executed(text_of(spec(f"hf:{config}"), []))
    assert (short.summary, list(short.probes), short.dynamic) == (plain.summary, list(plain.probes), plain.dynamic)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "resnet18"], "--from takes a model without a file: torchvision:NAME"),
        (["--input", "x:float32[2]"], "--input belongs to one"),
        (["--from", "package:make"], "package:make needs --input"),
    ],
)
def test_what_no_file_can_be_made_of_is_told(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = _harness("new-model", "--folder", tmp_path, "my-net", *arguments)
    assert done.exit_code == 2
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_given_twice_is_one_model(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "plain.py").write_text("MODEL = None\n", encoding="utf-8")
    folder = tmp_path / "models"
    spec = "torchvision:resnet18"
    values, _ = placed(tmp_path, [spec, str(folder), spec, str(folder / "plain.py")], [])
    files, globs = split_models(values)
    assert globs == []
    assert [path.name for path in model_files(files)] == ["torchvision_resnet18.py", "plain.py"]
    assert len(placed(tmp_path, [spec, spec], ["x:float32[2,3,224,224]"]).models) == 1
