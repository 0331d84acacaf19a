"""What uv says, in each of the situations that it was brought into, and what it is taken for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from uv import find_uv_bin

from harness.bench.errors import (
    DiskFullError,
    HarnessError,
    IndexUnreachableError,
    NotWritableError,
    ToolBrokenError,
    UsageError,
)
from harness.matrix.resolving import BUILD_FAILED, NO_SOLUTION, NO_WHEEL, AbsentError, kind_of, understand

SAMPLES = {path.stem: path for path in sorted(Path(__file__).with_name("uv_says").glob("*.txt"))}

FACTS = {
    "build-failed": BUILD_FAILED,
    "build-failed-with-words": BUILD_FAILED,
    "build-requires-absent": BUILD_FAILED,
    "conflict": NO_SOLUTION,
    "conflict-absent-name-deeper": NO_SOLUTION,
    "conflict-absent-version-deeper": NO_SOLUTION,
    "conflict-between-packages": NO_SOLUTION,
    "conflict-far": NO_SOLUTION,
    "conflict-three": NO_SOLUTION,
    "no-wheel-platform": NO_WHEEL,
    "no-wheel-python": NO_WHEEL,
    "python-too-old": NO_SOLUTION,
    "tox-build-failed": BUILD_FAILED,
    "tox-no-wheel-platform": NO_WHEEL,
    "tox-no-wheel-python": NO_WHEEL,
}

ABSENT = {
    "absent-extra-version": "coverage[toml]==99.1",
    "absent-index-404": "six",
    "absent-name": "this-package-is-not-there-xyz",
    "absent-name-no-index": "this-package-is-not-there-xyz",
    "absent-range": "six>=5",
    "absent-range-between": "numpy>1.26.4,<2.0.0",
    "absent-version": "six==99.99",
    "tox-absent-version": "six==99.9",
}

ERRORS: dict[str, tuple[type[HarnessError], str]] = {
    "build-killed": (ToolBrokenError, "a build was killed"),
    "index-401": (IndexUnreachableError, "401 Unauthorized"),
    "index-403": (IndexUnreachableError, "403 Forbidden"),
    "index-429": (IndexUnreachableError, "429 Too Many Requests"),
    "index-500": (IndexUnreachableError, "500 Internal Server Error"),
    "index-certificate": (IndexUnreachableError, "invalid peer certificate"),
    "index-name-unknown": (IndexUnreachableError, "Name or service not known"),
    "index-offline": (IndexUnreachableError, "the network was disabled"),
    "index-refused": (IndexUnreachableError, "Connection refused"),
    "index-refused-in-build": (IndexUnreachableError, "Connection refused"),
    "index-retried": (IndexUnreachableError, "Connection refused"),
    "index-silent": (IndexUnreachableError, "operation timed out"),
    "lock-cut": (UsageError, "a line of the lock or the combination cannot be read (Invalid hash digest length"),
    "tox-disk-full-100k": (DiskFullError, "No space left on device"),
    "tox-disk-full-200k": (DiskFullError, "No space left on device"),
    "tox-disk-full-cache": (DiskFullError, "No space left on device"),
    "tox-index-offline": (IndexUnreachableError, "the network was disabled"),
    "tox-index-refused": (IndexUnreachableError, "Connection refused"),
    "tox-lock-cut": (UsageError, "cannot be read (cut: failed with argument --hash"),
    "tox-lock-unreadable": (UsageError, "cannot be read (Trailing `and more` is not allowed"),
    "tox-python-absent": (UsageError, "there is no CPython 3.99 on this machine"),
    "tox-python-not-downloaded": (IndexUnreachableError, "Name or service not known"),
    "tox-read-only": (NotWritableError, "Read-only file system"),
    "tox-read-only-cache": (NotWritableError, "Read-only file system"),
    "tox-wrong-hash": (UsageError, "another six==1.16.0 than the lock"),
    "url-404": (UsageError, "404 Not Found"),
    "url-refused": (IndexUnreachableError, "Connection refused"),
}


def _said(name: str) -> str:
    return SAMPLES[name].read_text(encoding="utf-8")


def _is_harmless(text: str) -> None:
    assert "://" not in text
    assert "/cache" not in text
    assert "/checkout" not in text
    assert "\x1b" not in text


def test_every_sample_is_of_one_kind() -> None:
    assert sorted([*FACTS, *ABSENT, *ERRORS]) == sorted(SAMPLES)


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_of_the_pins(name: str) -> None:
    fact = understand(_said(name), "resolving x")
    assert fact.kind == FACTS[name]
    assert fact.reason.startswith(("No solution found", "Failed to build `"))
    assert "evaluation failed" not in fact.reason
    assert kind_of(fact.reason) == fact.kind
    _is_harmless(fact.reason)


@pytest.mark.parametrize("name", ABSENT)
def test_what_the_package_index_does_not_have_is_wrong_input(name: str) -> None:
    with pytest.raises(AbsentError) as caught:
        understand(_said(name), "resolving x")
    assert caught.value.requirement == ABSENT[name]
    assert caught.value.exit_code == 2
    assert f"resolving x: {ABSENT[name]} is asked for, and the package index does not have it" in str(caught.value)


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_no_result(name: str) -> None:
    expected, told = ERRORS[name]
    with pytest.raises(expected) as caught:
        understand(_said(name), "resolving x")
    assert type(caught.value) is expected
    assert caught.value.exit_code == (2 if expected is UsageError else 3)
    assert told in str(caught.value)
    assert str(caught.value).startswith("resolving x: ")
    _is_harmless(str(caught.value))


@pytest.mark.parametrize("text", ["", "\n", "Segmentation fault", "thread 'main' panicked at src/lib.rs"])
def test_what_nobody_knows_is_a_broken_tool_and_never_the_pins(text: str) -> None:
    with pytest.raises(ToolBrokenError, match=text.strip() or "nothing was said"):
        understand(text, "resolving x")


def test_only_the_last_error_counts() -> None:
    """Uv tries to download a Python for builds, cannot, and goes on."""
    assert "dns error" in _said("no-wheel-python")
    assert "dns error" not in understand(_said("no-wheel-python"), "resolving x").reason


def test_a_long_build_log_is_cut_in_its_middle() -> None:
    fact = understand("error: Failed to build `x==1`\n" + "line\n" * 100_000 + "the end", "resolving x")
    assert len(fact.reason) < 5000
    assert fact.reason.endswith("the end")


@pytest.mark.parametrize(
    ("requirement", "environ", "expected"),
    [
        ("six==99.99", {}, AbsentError),
        ("this-package-is-not-there-xyz", {}, AbsentError),
        ("six==1.16.0", {"UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple"}, IndexUnreachableError),
        ("six==1.16.0", {"UV_OFFLINE": "1"}, IndexUnreachableError),
    ],
)
def test_uv_still_says_so(
    tmp_path: Path, requirement: str, environ: dict[str, str], expected: type[HarnessError]
) -> None:
    (tmp_path / "x.in").write_text(requirement, encoding="utf-8")
    alone = {**os.environ, "UV_HTTP_RETRIES": "0", **environ}
    if environ:
        alone["UV_CACHE_DIR"] = str(tmp_path / "cache")
    done = subprocess.run(
        [find_uv_bin(), "pip", "compile", "x.in"], cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
    )
    with pytest.raises(expected):
        understand(done.stderr, "resolving x")


@pytest.mark.parametrize(
    ("requirement", "python", "kind"), [("pywin32==306", "3.11", NO_WHEEL), ("numpy==1.26.4", "3.7", NO_SOLUTION)]
)
def test_uv_still_says_that_pins_are_to_blame(tmp_path: Path, requirement: str, python: str, kind: str) -> None:
    (tmp_path / "x.in").write_text(requirement, encoding="utf-8")
    done = subprocess.run(
        [find_uv_bin(), "pip", "compile", "--python-version", python, "x.in"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert understand(done.stderr, "resolving x").kind == kind
