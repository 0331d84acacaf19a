"""What the workflow of `harness init` installs: only what another machine can have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.matrix.starting.source import UNKNOWN, of_checkout, of_installation
from tests.github.checkouts import commit, git

SHA = "0123456789abcdef0123456789abcdef01234567"
PUBLIC = f"git+https://github.com/acme/conversion-harness.git@{SHA}"


def installed(url: str, sha: str = SHA) -> str:
    """What an installer writes of a commit."""
    return json.dumps({"url": url, "vcs_info": {"vcs": "git", "commit_id": sha}})


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/conversion-harness.git",
        "https://somebody:token@github.com/acme/conversion-harness.git",
        "ssh://git@github.com/acme/conversion-harness.git",
        "ssh://git@github.com:22/acme/conversion-harness.git",
        "git@github.com:acme/conversion-harness.git",
    ],
)
def test_a_commit_is_installed_by_an_address_without_a_key(url: str) -> None:
    assert of_installation(installed(url)) == PUBLIC


@pytest.mark.parametrize(
    "told",
    [
        installed("file:///home/me/conversion-harness"),
        installed("https://github.com/acme/x.git", "main"),
        installed('https://github.com/acme/x"; id #'),
        installed("C:/conversion-harness"),
        json.dumps({"url": "file:///tmp/conversion_harness-1-py3-none-any.whl", "archive_info": {}}),
        json.dumps({"url": "file:///nowhere/at/all", "dir_info": {"editable": True}}),
        "{}",
    ],
)
def test_what_no_other_machine_reaches_is_left_to_a_person(told: str) -> None:
    assert of_installation(told) == UNKNOWN


def test_a_checkout_is_its_commit_where_its_origin_has_that(tmp_path: Path) -> None:
    origin, checkout = tmp_path / "origin", tmp_path / "a checkout"
    origin.mkdir()
    git(origin, "init", "--quiet")
    commit(origin, "first")
    git(tmp_path, "clone", "--quiet", origin.as_uri(), checkout.name)
    told = json.dumps({"url": checkout.as_uri(), "dir_info": {"editable": True}})
    assert of_installation(told) == UNKNOWN, "its origin is on this machine"
    git(checkout, "remote", "set-url", "origin", "git@github.com:acme/conversion-harness.git")
    head = git(checkout, "rev-parse", "HEAD").strip()
    assert of_installation(told) == f"git+https://github.com/acme/conversion-harness.git@{head}"
    (checkout / "inside").mkdir()
    assert of_checkout(checkout / "inside") == UNKNOWN, "a folder of somebody else's repository"
    commit(checkout, "not pushed")
    assert of_installation(told) == UNKNOWN
