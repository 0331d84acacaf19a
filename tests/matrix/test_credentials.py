"""Passwords and tokens in addresses are neither shown, nor kept by tables, nor written to what is committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench.errors import UsageError
from harness.doctor.variables import variables
from harness.matrix.combination import read
from harness.matrix.credentials import refuse_credentials, without_credentials
from harness.matrix.locks import BENCH_REQUIREMENTS, lock
from harness.matrix.requirements.lines import parse_lines
from harness.matrix.resolving import understand


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://bob:s3cret@h/simple", "https://…@h/simple"),
        ("https://bob:pa$$w0rd@h/", "https://…@h/"),
        ("https://bob:a/b@h/", "https://…@h/"),
        ("https://bob:a@b@h/", "https://…@h/"),
        ("a @ git+https://token@h/repo.git@v1", "a @ git+https://…@h/repo.git@v1"),
        ("https://${NAME}:${PASSWORD}@h/", "https://${NAME}:${PASSWORD}@h/"),
        ("https://bob:${PASSWORD}@h/", "https://…:${PASSWORD}@h/"),
        ("https://bob:x${PASSWORD}@h/", "https://…:…@h/"),
        ("https://h:8080/a@1 https://[::1]:80/b@2", "https://h:8080/a@1 https://[::1]:80/b@2"),
        ("a @ git+https://h/repo.git@v1", "a @ git+https://h/repo.git@v1"),
    ],
)
def test_what_stands_before_the_host_is_left_out(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize(
    "line",
    [
        "acme-private @@ https://bob:s3cretpw@h/simple",
        "acme @ ! https://bob:s3/cretpw@h/simple",
        "--unknown=https://bob:s3cretpw@h/simple",
        "--unknown https://bob:s3cretpw@h/simple",
        "acme==1 --unknown=https://bob:s3cretpw@h/simple",
        "-xhttps://bob:s3cretpw@h/simple",
    ],
)
def test_a_line_that_cannot_be_read_is_told_without_them(line: str) -> None:
    with pytest.raises(UsageError, match=r"sec\.txt, line 1: ") as told:
        list(parse_lines(line, where="sec.txt"))
    assert "cret" not in str(told.value)


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://bob:s3cretpw@h/simple",
        "--index-url https://s3cretpw@h/simple",
        "acme @ https://bob:s3cretpw@h/acme-1.0-py3-none-any.whl",
        "git+https://bob:s3cretpw@h/acme.git",
        "-f https://bob:a/s3cretpw@h/",
    ],
)
def test_no_password_goes_into_a_lock_that_people_commit(tmp_path: Path, line: str) -> None:
    for name, text in ((BENCH_REQUIREMENTS, "six\n"), (Path("matrices/small.in"), f"# python: 3.11\n{line}\n")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"has a password or a token in it.* Write \$\{VARIABLE\} in its") as told:
        lock(tmp_path, read(tmp_path, "small"))
    assert "s3cretpw" not in str(told.value)
    assert not (tmp_path / "matrices" / "locks").exists()


def test_variables_and_names_that_everybody_has_may_be_committed() -> None:
    lines = (
        "-i https://${NAME}:${PASSWORD}@h/simple",
        "-i https://oauth2accesstoken@h/simple",
        "-i https://__token__:${TOKEN}@h/simple",
        "-i https://${TOKEN}@h/simple",
        "acme @ git+ssh://git@h/acme.git@v1",
        "acme @ git+https://h/acme.git@v1",
    )
    refuse_credentials(lines, where="small.in")


def test_what_uv_says_is_told_without_them() -> None:
    said = "error: No solution found: acme from https://bob:it's/s3cretpw@h/simple is not there"
    fact = understand(said, "resolving")
    assert fact.reason == "No solution found: acme from the package index is not there"


def test_the_doctor_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_INDEX", "https://bob:a/s3cretpw@h/simple")
    assert "s3cretpw" not in str(variables(Path()))
    assert "https://…@h/simple" in str(variables(Path()))
