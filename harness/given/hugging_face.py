"""What a `config.json` of Hugging Face's says of a model's inputs, without importing Transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.bench.errors import UsageError

_SEQUENCE_TO_SEQUENCE = {
    "bart", "blenderbot", "blenderbot-small", "fsmt", "led", "longt5", "m2m_100", "marian", "mbart", "mt5", "mvp",
    "pegasus", "pegasus_x", "plbart", "prophetnet", "switch_transformers", "t5", "umt5",
}  # fmt: skip
_IMAGES = {
    "beit", "bit", "convnext", "convnextv2", "cvt", "data2vec-vision", "deit", "dinov2", "dpt", "efficientnet",
    "focalnet", "levit", "mobilenet_v1", "mobilenet_v2", "mobilevit", "mobilevitv2", "poolformer", "pvt", "pvt_v2",
    "regnet", "resnet", "segformer", "swiftformer", "swin", "swinv2", "vit", "vit_mae", "vit_msn", "yolos",
}  # fmt: skip
_WAVEFORMS = {
    "data2vec-audio", "hubert", "sew", "sew-d", "unispeech", "unispeech-sat", "wav2vec2", "wav2vec2-conformer", "wavlm",
}  # fmt: skip
_SPECTROGRAMS = {"whisper"}
_IMAGES_AND_TEXT = {"altclip", "chinese_clip", "clip", "siglip"}

_LEFT_OUT = {"_commit_hash", "_name_or_path", "dtype", "torch_dtype", "transformers_version", "label2id"}
"""What says where a configuration comes from, and what the weights are stored in: the bench runs in float32."""

_UNDERSTOOD = "text, text to text, images, waveforms, spectrograms (Whisper), images with text (CLIP)"


def read_config(spec: str, place: Path) -> dict[str, Any]:
    """The configuration in `place`, a folder with a `config.json` or that file, with what a model needs of it.

    Raises `UsageError` where there is none, or it describes a model that it does not build alone.
    """
    path = place / "config.json" if place.is_dir() else place
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        msg = (
            f"{spec}: there is no {path}. Nothing is downloaded here: save the configuration first, by "
            f"AutoConfig.from_pretrained({str(place)!r}).save_pretrained('FOLDER'), and give hf:FOLDER."
        )
        raise UsageError(msg) from None
    except (ValueError, RecursionError) as error:
        msg = f"{spec}: {path} is no JSON: {error}."
        raise UsageError(msg) from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        msg = f"{spec}: {path} names no model_type, by which Transformers would know what to build."
        raise UsageError(msg)
    for name, why in (
        ("auto_map", "its code lies beside it"),
        ("quantization_config", "its weights are quantised"),
    ):
        if name in config:
            msg = (
                f"{spec}: {path} has an {name!r}, since {why}: the configuration alone does not build it. Write a "
                f"function that does, and give it as package.module:factory."
            )
            raise UsageError(msg)
    kept = {str(name): value for name, value in config.items() if name not in _LEFT_OUT}
    labels = kept.pop("id2label", None)
    return {**kept, "num_labels": len(labels)} if isinstance(labels, dict) else kept


def family_of(config: Mapping[str, Any]) -> str:
    """Which inputs the model takes: `text`, `text-to-text`, `images`, `waveforms`, `spectrograms`, `images-and-text`.

    Empty where that cannot be told.
    """
    kind = config["model_type"]
    known = {
        "text-to-text": _SEQUENCE_TO_SEQUENCE,
        "images": _IMAGES,
        "waveforms": _WAVEFORMS,
        "spectrograms": _SPECTROGRAMS,
        "images-and-text": _IMAGES_AND_TEXT,
    }
    for family, kinds in known.items():
        if kind in kinds:
            return family
    if config.get("is_encoder_decoder") or any(f"{part}_config" in config for part in ("text", "vision", "audio")):
        return ""
    if "vocab_size" in config and "num_mel_bins" not in config and "conv_stride" not in config:
        return "text"
    if "num_channels" in config and "image_size" in config and "vocab_size" not in config:
        return "images"
    return "text" if kind in _TEXT else ""


_TEXT = {"albert", "bert", "distilbert", "electra", "gpt2", "gpt_neo", "gpt_neox", "llama", "mpnet", "opt", "roberta"}
"""What takes text also where a configuration written by hand names no vocabulary; others are told by theirs."""


def unknown_family(spec: str, config: Mapping[str, Any]) -> UsageError:
    """The error for a model whose inputs nobody told."""
    return UsageError(
        f"{spec}: which inputs a {config['model_type']!r} takes is not known here (known are: {_UNDERSTOOD}). Give "
        f"them by --input, as in --input 'input_ids:int64[batch=2,length=16]<1000' "
        f"--input 'attention_mask:int64[batch,length]=1'."
    )
