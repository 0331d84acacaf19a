"""`harness doctor` on an environment that tox installed: whole, edited, in use, and mended again."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.doctor import pins
from harness.doctor.finding import Finding, Severity
from harness.matrix.installing import holding
from tests.real.checkouts import NAME, make_checkout, prepare

pytestmark = pytest.mark.real


def _found(root: Path) -> Finding:
    (finding,) = pins.environments(root)
    return finding


def test_what_was_edited_added_and_removed_is_told_until_it_is_mended(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "checkout", "six==1.16.0", "pytest-benchmark")
    prepare(root)
    assert (_found(root).severity, _found(root).found.partition(",")[0]) == (Severity.FINE, "whole")
    (site,) = (root / ".tox" / NAME / "lib").glob("python*/site-packages")
    with (site / "six.py").open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    (site / "pytest" / "__main__.py").unlink()
    (site / "added.pth").write_text("import sys\n", encoding="utf-8")
    finding = _found(root)
    assert finding.severity is Severity.WARNING
    assert finding.found.startswith("3 files are not as they were installed, which the next run mends: ")
    for told in ("added lib/", "edited lib/", "removed lib/", "six.py (six)", "pytest/__main__.py (pytest)"):
        assert told in finding.found
    assert finding.remedy == f"harness run {NAME}"
    with holding(root, NAME, print):
        assert _found(root).found.startswith("in use by process ")
    prepare(root)
    assert _found(root).severity is Severity.FINE
