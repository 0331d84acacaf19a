"""Models that a library builds by name or from a configuration: torchvision, timm, Hugging Face Transformers.

Nothing is ever downloaded: weights are the bench's own. Use them in a model's file:
``build=lambda: torchvision_model("resnet50")`` with ``imports=("torch", "torchvision")``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from harness.bench.bits import uniform
from harness.bench.errors import unknown

_PATCHES = 8


def patches(shape: tuple[int, ...], *, seed: int | str = 0, low: float = -2.0, high: float = 2.0) -> Any:
    """A float32 numpy array of `shape`, whose last two dimensions are an image of 8 by 8 patches, in [low, high).

    Of fine noise, which is averaged away, a deep network would make the same of every image. Equal bits for equal
    arguments everywhere.
    """
    import numpy as np

    *front, height, width = shape
    coarse = uniform((*front, _PATCHES, _PATCHES), seed=seed, low=low, high=high)
    rows, columns = (np.arange(size) * _PATCHES // size for size in (height, width))
    return np.ascontiguousarray(coarse[..., rows[:, None], columns])


def torchvision_model(name: str, **options: Any) -> Any:
    """The model that torchvision (0.14 or later) lists as `name`, without pretrained weights.

    `options` are those of its builder. Raises `ValueError`, with the nearest name, where torchvision has no such.
    """
    from torchvision import models

    _check_known("model of this torchvision", name, models.list_models())
    # These are not the weights: without them torchvision would download a backbone's, and draw what the bench replaces.
    free = {"weights_backbone": None, "init_weights": False}
    taken = _parameters(models.get_model_builder(name))
    return models.get_model(name, weights=None, **{k: v for k, v in free.items() if k in taken}, **options)


def _parameters(builder: Any) -> set[str]:
    """The names that `builder` takes, those that it hands on to a model's constructor among them where it says so."""
    names = set(inspect.signature(builder).parameters)
    return names | {"init_weights"} if builder.__name__ in {"googlenet", "inception_v3"} else names


def torchvision_size(name: str, *, otherwise: int = 256) -> int:
    """The height and width in pixels of the images that the torchvision model `name` is trained on.

    `otherwise` is returned for models that take images of any size.
    """
    from torchvision import models

    _check_known("model of this torchvision", name, models.list_models())
    if name.startswith("vit_"):
        return 224  # larger ones come with weights that bring their own position embedding
    crop = getattr(models.get_model_weights(name).DEFAULT.transforms(), "crop_size", None)
    return otherwise if crop is None else int(crop[0] if hasattr(crop, "__getitem__") else crop)


def timm_model(name: str, **options: Any) -> Any:
    """The model that timm creates as `name`, without pretrained weights; `options` as `timm.create_model` has.

    Raises `ValueError`, with the nearest name, where timm has none of that name.
    """
    import timm

    _check_known("model of this timm", name.partition(".")[0], timm.list_models())
    return timm.create_model(name, pretrained=False, **options)


def timm_size(name: str) -> tuple[int, int, int]:
    """Channels, height and width in pixels of the images that the timm model `name` is made for (timm 0.9 or later)."""
    import timm

    _check_known("model of this timm", name.partition(".")[0], timm.list_models())
    known = timm.get_pretrained_cfg(name, allow_unregistered=True)
    channels, height, width = (3, 224, 224) if known is None else known.input_size
    return int(channels), int(height), int(width)


def hugging_face_config(config: Mapping[str, Any]) -> Any:
    """The configuration object of Transformers for what a `config.json` holds; the defaults are those of its type.

    Raises `ValueError` where this Transformers does not know the type.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    _check_known("model_type of this transformers", config["model_type"], CONFIG_MAPPING)
    return AutoConfig.for_model(**config)


def hugging_face_model(config: Mapping[str, Any]) -> Any:
    """The model of Transformers that a `config.json` describes: its first architecture, or what `AutoModel` builds.

    Past keys and values are not returned: a cache is no tensor. Raises `ValueError` where this Transformers knows
    neither.
    """
    import transformers

    made = hugging_face_config(config)
    if hasattr(made, "use_cache"):
        made.use_cache = False
    architecture = next(iter(config.get("architectures") or ()), None)
    if architecture is None:
        return transformers.AutoModel.from_config(made)
    kind = getattr(transformers, architecture, None)
    if kind is None:
        msg = f"this transformers ({transformers.__version__}) has no architecture {architecture!r}"
        raise ValueError(msg)
    return kind(made)


def hugging_face_size(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels, height and width in pixels of the images that a `config.json` is of; 224 pixels where it says none."""
    made = hugging_face_config(config)
    part = getattr(made, "vision_config", made)
    size = getattr(part, "image_size", None) or 224
    height, width = (size, size) if isinstance(size, int) else size
    return int(getattr(part, "num_channels", 3)), int(height), int(width)


def _check_known(what: str, name: str, known: Iterable[str]) -> None:
    names = list(known)
    if name not in names:
        raise ValueError(unknown(what, name, names))
