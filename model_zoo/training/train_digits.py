"""Trains the digits classifier of `model_zoo/_digits.py` and writes what `model_zoo/data` holds.

    python -m venv train && train/bin/pip install torch==2.13.0 scikit-learn==1.9.1
    train/bin/python model_zoo/training/train_digits.py

The images are scikit-learn's copy of the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository, CC BY 4.0). The run is seeded and takes one thread, so that the same
versions write the same files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))

TEST_IMAGES = 400
EPOCHS = 30
TRAINING_BATCH = 64
TUNING_BATCHES = 20
TUNING_BATCH = 8


def digits() -> tuple[Any, Any]:
    """All images as [N, 1, 8, 8] of bytes from 0 to 16, and their labels, in a fixed random order."""
    import numpy as np
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(labels))
    return images[order].astype(np.uint8).reshape(-1, 1, 8, 8), labels[order].astype(np.uint8)


def train(images: Any, labels: Any) -> Any:
    """The trained module, in eval mode."""
    import torch
    from torch import nn

    from model_zoo import _digits

    torch.manual_seed(0)
    module = _digits.build().train()
    inputs, targets = torch.from_numpy(images).float(), torch.from_numpy(labels).long()
    optimiser = torch.optim.AdamW(module.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(targets) // TRAINING_BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(targets)).split(TRAINING_BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(inputs[chosen]), targets[chosen]).backward()
            optimiser.step()
            schedule.step()
    return module.eval()


def accuracy(module: Any, images: Any, labels: Any) -> float:
    """The share of images whose largest logit is their label's."""
    import torch

    with torch.no_grad():
        found = module(torch.from_numpy(images).float()).argmax(dim=1)
    return float((found == torch.from_numpy(labels).long()).float().mean())


def state_of(module: Any) -> dict[str, Any]:
    """The state dict as numpy arrays."""
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


def main() -> None:
    """Train, tell the accuracy, and write the three files."""
    import numpy as np
    import torch

    from model_zoo import _digits

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, labels = digits()
    test, training = slice(0, TEST_IMAGES), slice(TEST_IMAGES, None)
    module = train(images[training], labels[training])
    trained = state_of(module)
    print(f"held-out accuracy {accuracy(module, images[test], labels[test]):.4f}")  # noqa: T201

    # What fine-tuning does to the running statistics, with weights left alone.
    shape = (TUNING_BATCHES, TUNING_BATCH, 1, 8, 8)
    batches = images[training][: TUNING_BATCHES * TUNING_BATCH].reshape(shape)
    with torch.no_grad():
        module.train()
        for batch in batches:
            module(torch.from_numpy(batch).float())
        module.eval()
    tuned = {name: value for name, value in state_of(module).items() if name.endswith(_digits.STATISTICS)}
    print(f"with tuned statistics {accuracy(module, images[test], labels[test]):.4f}")  # noqa: T201

    _digits.DATA.mkdir(exist_ok=True)
    np.savez_compressed(_digits.DATA / "digits_cnn.npz", **trained)
    np.savez_compressed(_digits.DATA / "digits_tuning.npz", images=batches, **tuned)
    np.savez_compressed(_digits.DATA / "digits_test.npz", images=images[test], labels=labels[test])


if __name__ == "__main__":
    main()
