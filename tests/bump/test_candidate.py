"""Candidates: made of a base and what moves, resolved by its lock, saved; and what stands in their way."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench.environment import pins_of
from harness.bench.errors import UsageError
from harness.bump.candidate import (
    candidate_text,
    foundation,
    obstacles,
    parse_moves,
    resolve,
    save,
    without_versions_of,
    write_candidate,
)
from harness.bump.moves import Mix, mix_of, moves_between, out_of_reach
from harness.matrix import combination, locks
from harness.matrix.requirements import keeping
from harness.matrix.requirements.closing import Wish
from tests.matrix.wheels import project, wheel


def _pins(root: Path, mix: Mix) -> dict[str, str]:
    closed = resolve(root, foundation(root, "now"), mix, at=root / "lock.txt")
    assert not closed.reason, closed.reason
    return pins_of(closed.lock)


def test_a_base_is_what_it_asks_for_and_its_lock(repository: Path) -> None:
    base = foundation(repository, "now")
    assert base.side.python == "3.11"
    assert base.side.direct == {"exporter": "1.0", "runtime": "1.0", "torch": "1.0", "vision": "0.1.0"}
    assert base.side.locked["helper"] == "1.0"
    assert base.wish.everything


def test_what_is_not_moved_keeps_the_versions_of_the_lock(repository: Path) -> None:
    assert _pins(repository, Mix()) == foundation(repository, "now").side.locked
    moved = _pins(repository, Mix(pins={"torch": "1.1", "vision": "0.1.1"}))
    assert (moved["torch"], moved["vision"], moved["helper"]) == ("1.1", "0.1.1", "1.0"), "helper has a newer one"


def test_mixes_hold_leave_out_and_let_go(repository: Path) -> None:
    held = _pins(repository, Mix(bounds={"helper": "1.1", "nowhere": "3"}))
    assert held["helper"] == "1.1"
    assert "nowhere" not in held
    reduced = _pins(repository, Mix(pins={"torch": "1.1"}, without=frozenset({"vision"})))
    assert reduced["torch"] == "1.1"
    assert "vision" not in reduced
    free = _pins(repository, Mix(pins={"torch": "1.2", "vision": ""}))
    assert free["vision"] == "0.1.2"
    closed = resolve(repository, foundation(repository, "now"), Mix(pins={"torch": "1.1"}), at=repository / "lock.txt")
    assert "vision<=0.1.0 depends on torch==1.0" in closed.reason
    assert not closed.lock


def test_moves_are_packages_of_the_base(repository: Path) -> None:
    side = foundation(repository, "now").side
    assert [str(each) for each in parse_moves(["torch==1.1", "helper"], side)] == ["torch==1.1", "helper"]
    for values, told in [
        (["toch==1.1"], "unknown package of now 'toch'. Did you mean 'torch'?"),
        (["torch=1.1"], "'torch=1.1' says no version of a package"),
        (["torch @ https://example.org/torch.whl"], "an address or a marker cannot be moved to"),
        (["torch==1.1", "Torch==1.2"], "torch can move to one place only"),
        ([], "nothing is to move"),
    ]:
        with pytest.raises(UsageError, match=told.replace("[", r"\[").replace("?", r"\?")):
            parse_moves(values, side)


def test_the_candidate_is_the_base_with_these_replaced_and_nothing_else_moves(repository: Path) -> None:
    base = foundation(repository, "now")
    asked = parse_moves(["torch==1.1", "vision"], base.side)
    file = write_candidate(repository, base, asked)
    assert file == write_candidate(repository, base, asked)
    assert file.parent.parent == repository / ".harness" / "candidates"
    prefer = without_versions_of(base.full, ["torch", "vision"]), without_versions_of(base.lock, ["torch", "vision"])
    kept = keeping.take(repository, str(file), Wish(modules=frozenset(), everything=True), prefer=prefer, note=print)
    assert kept.name.startswith("now-bumped-")
    assert not kept.reason
    moves = moves_between(base.side, foundation(repository, kept.name).side)
    assert [str(move) for move in moves] == ["torch 1.0 to 1.1", "vision 0.1.0 to 0.1.1"]
    assert list((repository / "matrices").glob("*.in")) == [repository / "matrices" / "now.in"]


def test_a_candidate_is_saved_as_a_combination_with_its_lock(repository: Path) -> None:
    base = foundation(repository, "now")
    asked = parse_moves(["torch==1.1", "vision==0.1.1"], base.side)
    lock = resolve(repository, base, Mix(pins={"torch": "1.1", "vision": "0.1.1"}), at=repository / "x.txt").lock
    path, locked = save(repository, base, asked, name="next", lock=lock)
    assert path == repository / "matrices" / "next.in"
    assert path.read_text(encoding="utf-8") == candidate_text(repository, base, asked)
    assert pins_of(locked.read_text(encoding="utf-8")) == pins_of(lock)
    assert locks.read_lock(repository, combination.read(repository, "next")).path == locked
    with pytest.raises(UsageError, match="there is a combination of that name"):
        save(repository, base, asked, name="now", lock=lock)


def test_the_pin_that_stands_in_the_way_is_named_with_what_would_do_instead(repository: Path) -> None:
    base = foundation(repository, "now")
    (vision,) = obstacles(repository, base, parse_moves(["torch==1.1"], base.side))
    assert (vision.pins, vision.instead) == ({"vision": "==0.1.0"}, {"vision": "0.1.1"})


def test_pins_that_stand_in_the_way_together_are_the_smallest_set(repository: Path) -> None:
    base = foundation(repository, "now")
    (both,) = obstacles(repository, base, parse_moves(["torch==1.1", "exporter==2.0"], base.side))
    assert both.pins == {"runtime": "==1.0", "vision": "==0.1.0"}
    assert both.instead == {"runtime": "2.0", "vision": "0.1.1"}
    assert obstacles(repository, base, parse_moves(["torch==1.1", "vision==0.2.0"], base.side)) == ()


def test_a_lock_with_hashes_is_a_base_too(repository: Path) -> None:
    file = repository / "frozen.txt"
    lines = locks.lock_path(repository, "now").read_text(encoding="utf-8").splitlines()
    # As pip-compile writes it, with what people asked for named in comments.
    text = "\n".join(line for line in lines if not line.startswith(("#", "-")))
    file.write_text(f"# python: 3.11\n--no-index\n-f wheels\n{text}\n", encoding="utf-8")
    wish = Wish(modules=frozenset({"torch", "vision", "helper"}))
    kept = keeping.take(repository, str(file), wish, note=print)
    base = foundation(repository, kept.name)
    assert base.side.direct == {"einops": "1.0", "helper": "1.0", "torch": "1.0", "vision": "0.1.0"}
    closed = resolve(repository, base, Mix(pins={"torch": "1.1", "vision": "0.1.1"}), at=repository / "x.txt")
    assert not closed.reason, closed.reason
    pins = pins_of(closed.lock)
    assert (pins["torch"], pins["vision"], pins["helper"]) == ("1.1", "0.1.1", "1.0")
    again = resolve(repository, base, Mix(), at=repository / "x.txt")
    assert pins_of(again.lock) == base.side.locked


_EVERYTHING = Wish(modules=frozenset(), everything=True)


def _given(root: Path, lines: str, *, name: str = "own.txt") -> keeping.Kept:
    (root / name).write_text(f"# python: 3.11\n--no-index\n-f wheels\n{lines}", encoding="utf-8")
    kept = keeping.take(root, str(root / name), _EVERYTHING, note=print)
    assert not kept.reason
    return kept


def test_a_package_on_two_lines_is_replaced_on_both(repository: Path) -> None:
    base = foundation(repository, _given(repository, "torch==1.0\ntorch[fast]>=0.9,<1.1\nvision==0.1.0\n").name)
    assert base.side.direct == {"torch": "1.0", "vision": "0.1.0"}
    asked = parse_moves(["torch==1.1", "vision==0.1.1"], base.side)
    lines = candidate_text(repository, base, asked).splitlines()
    assert [line for line in lines if line.startswith("torch")] == ["torch[fast]==1.1"]
    closed = resolve(repository, base, Mix(pins={"torch": "1.1", "vision": "0.1.1"}), at=repository / "x.txt")
    assert not closed.reason, closed.reason


def test_an_address_is_asked_for_by_no_version(repository: Path) -> None:
    """A side's package that only an address names stays, in every mix, as the base has it."""
    project(repository / "plugin", "plugin")
    base = foundation(repository, _given(repository, "torch==1.0\nvision==0.1.0\n").name)
    beside = foundation(repository, _given(repository, "torch==1.0\n-e ./plugin\n", name="beside.txt").name)
    for one, other in ((base, beside), (beside, base)):
        moves = moves_between(one.side, other.side)
        assert out_of_reach(moves) == ("plugin",)
        closed = resolve(repository, one, mix_of(moves, candidate=["plugin"]), at=repository / "x.txt")
        assert not closed.reason, closed.reason
        assert pins_of(closed.lock).get("plugin") == one.side.locked.get("plugin")


def test_an_address_of_the_base_stays_where_the_base_is_held(repository: Path) -> None:
    elsewhere = wheel(repository / "elsewhere", "torch", "1.0.5", "helper")
    base = foundation(repository, _given(repository, f"torch @ {elsewhere.as_uri()}\nexporter==1.0\n").name)
    closed = resolve(repository, base, Mix(pins={"torch": "1.0.5", "exporter": "2.0"}), at=repository / "x.txt")
    assert not closed.reason, "no folder of wheels has it by its version"
    moved = resolve(repository, base, Mix(pins={"torch": "1.1"}), at=repository / "x.txt")
    assert pins_of(moved.lock)["torch"] == "1.1"


def test_a_file_that_changed_since_it_was_locked_is_no_base(repository: Path) -> None:
    kept = _given(repository, "torch==1.0\nvision==0.1.0\n")
    file = repository / "own.txt"
    file.write_text(file.read_text(encoding="utf-8").replace("torch==1.0", "torch==1.1"), encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"own.txt says something else than when own-\w+ was locked. Have it run again"
    ):
        foundation(repository, kept.name)


def test_the_package_of_a_project_is_in_its_candidates_and_mixes(repository: Path) -> None:
    """Whatever versions it asks for itself, and with the settings of uv's beside it."""
    folder = project(repository / "own", "mine", "torch==1.0", "vision==0.1.0", "exporter==1.0")
    file = folder / "pyproject.toml"
    settings = f'''[tool.uv]\nno-index = true\nfind-links = ["{repository}/wheels"]\n'''
    settings += 'override-dependencies = ["helper==1.0"]\n'
    file.write_text(file.read_text(encoding="utf-8") + settings, encoding="utf-8")
    wish = Wish(modules=frozenset({"torch", "mine"}))
    kept = keeping.take(repository, str(file), wish, python="3.11", note=print)
    base = foundation(repository, kept.name)
    assert base.side.locked["mine"] == "@"
    again = resolve(repository, base, Mix(), at=repository / "x.txt")
    assert pins_of(again.lock) == base.side.locked
    asked = parse_moves(["torch==1.1", "vision==0.1.1"], base.side)
    candidate = keeping.take(repository, str(write_candidate(repository, base, asked)), wish, note=print)
    assert not candidate.reason, candidate.reason
    side = foundation(repository, candidate.name).side
    assert [str(move) for move in moves_between(base.side, side)] == ["torch 1.0 to 1.1", "vision 0.1.0 to 0.1.1"]
    assert side.locked["helper"] == "1.0"
    mix = resolve(repository, base, Mix(pins={"torch": "1.1", "vision": "0.1.1"}), at=repository / "x.txt")
    assert pins_of(mix.lock) == side.locked
