"""Messages between the two processes of the service."""

from __future__ import annotations

import numpy as np

from harness.runtimes.service import pack, unpack


def test_arrays_come_back_as_they_went() -> None:
    arrays = [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array(7, dtype=np.int64),
        np.zeros((0, 4), dtype=np.float64),
        np.array([True, False]),
        np.arange(24, dtype=np.int64).reshape(2, 3, 4).transpose(2, 0, 1),
    ]
    for sent, received in zip(arrays, unpack(pack(arrays)), strict=True):
        np.testing.assert_array_equal(sent, received, strict=True)


def test_no_array_is_a_message_too() -> None:
    assert unpack(pack([])) == []
