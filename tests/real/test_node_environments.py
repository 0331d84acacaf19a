"""Environments on a node: installed from the text of a lock, once, and mended when nobody uses them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.executors.node import ready
from harness.executors.orders import Order
from harness.matrix.combination import read
from harness.matrix.locks import read_lock
from tests.real.checkouts import NAME
from tests.real.installations import cache, root

__all__ = ["cache", "root"]
pytestmark = pytest.mark.real


@pytest.fixture
def order(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    """One for a node that has nothing yet, with the lock of a small environment."""
    monkeypatch.setenv("HARNESS_NODE_CACHE", str(tmp_path / "node"))
    lock = read_lock(root, read(root, NAME)).text
    return Order(
        name=NAME,
        unit="0000",
        plan={},
        attempt={},
        folder="",
        root="",
        folders={},
        lock=lock,
        python="",
        environ={},
        fresh=False,
    )


def test_units_that_come_together_have_one_environment_installed(order: Order, tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def use(number: int) -> tuple[Path, str]:
        with ready(order, log=tmp_path / f"{number}.log", note=print) as prepared:
            together.wait(120)  # all of them use it at a time
            return prepared.python, prepared.packages["six"]

    with ThreadPoolExecutor(3) as pool:
        used = set(pool.map(use, range(3)))
    ((python, six),) = used
    assert python.is_relative_to(tmp_path / "node")
    assert six == "1.16.0"
    assert sum(bool((tmp_path / f"{number}.log").stat().st_size) for number in range(3)) == 1


def test_what_was_changed_is_mended_once_nobody_uses_it(order: Order, tmp_path: Path) -> None:
    entered = threading.Event()

    def use() -> list[object]:
        with ready(order, log=tmp_path / "second.log", note=print) as prepared:
            entered.set()
            return list(prepared.changes())

    with ThreadPoolExecutor(1) as pool:
        with ready(order, log=tmp_path / "first.log", note=print) as prepared:
            (six,) = prepared.folder.glob("lib/python*/site-packages/six.py")
            six.write_bytes(six.read_bytes().replace(b"1.16.0", b"6.66.6"))
            assert prepared.changes()
            second = pool.submit(use)
            assert not entered.wait(3), "it is mended while it is used"
            assert b"6.66.6" in six.read_bytes()
        assert second.result(120) == []
    assert b"1.16.0" in six.read_bytes()
