"""The released versions of a package, as uv sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.matrix.releases import releases
from tests.matrix.wheels import wheel


@pytest.fixture
def options(tmp_path: Path) -> str:
    """A folder with versions of `thing`, of all kinds, in the place of an index."""
    for version in ("1.0", "1.2", "1.10", "2.0rc1", "2.0", "2.1.dev3", "3.0+cpu"):
        wheel(tmp_path / "wheels", "thing", version)
    other = wheel(tmp_path / "wheels", "thing", "4.0")
    other.rename(other.with_name("thing-4.0-cp27-cp27m-win32.whl"))
    return f"--no-index\n--find-links {tmp_path / 'wheels'}\n"


def test_versions_ascend_from_the_given_one_on_and_those_that_nobody_means_are_left_out(
    tmp_path: Path, options: str
) -> None:
    assert releases(tmp_path, "thing", python="3.11", since="1.2", options=options) == ("1.2", "1.10", "2.0", "3.0")
    assert releases(tmp_path, "thing", python="3.11", since="1.0+cpu", options=options)[0] == "1.0"
    assert releases(tmp_path, "thing", python="3.11", since="5", options=options) == ()
    assert releases(tmp_path, "nothing", python="3.11", since="1", options=options) == ()
