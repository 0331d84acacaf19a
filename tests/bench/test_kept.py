"""What a cell leaves, kept; and an artifact that one environment converted, served in the place of a conversion."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench.cell import Cells
from harness.bench.identity import identity
from harness.bench.kept import ARTIFACT_FILE, ArtifactChangedError, bound, read_artifact
from harness.bench.plan import Cell, Keeping, Plan
from harness.bench.record import Record
from tests.bench.linear import RUNTIME, add_model, add_strategy, importable, plan_of, write

STEPS = {
    "good": "facts = {'opset': 16}",
    "doubled": "weight = weight * 2",
    "bulky": "(context.folder / 'more').write_bytes(os.urandom(3 * 2**20)); weight = weight * 2",
    "linked": "os.symlink('/etc/hostname', context.folder / 'link'); weight = weight * 2",
    "raises": "print('almost'); raise KeyError('lost')",
    "converter-is-gone": "raise RuntimeError('it must not be asked')",
    "pytorch": "pass",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's file, and a plugin folder with a step and a strategy for each case."""
    made = tmp_path_factory.mktemp("kept")
    add_model(made)
    write(made / "plugins" / "runtimes" / "own.py", RUNTIME.replace('serves="array"', 'serves="torch-service"'))
    for name, body in STEPS.items():
        imports = ("nothing_like_it",) if name == "converter-is-gone" else ()
        runtime = "own" if name == "pytorch" else "arrays"
        add_strategy(made, name, body, imports=imports, runtime=runtime, shapes="dynamic")
    return made


@pytest.fixture(scope="module", autouse=True)
def _path() -> Iterator[None]:
    with importable():
        yield


def run(plan: Plan, scratch: Path, kept: Path | None = None) -> dict[str, tuple[Record, dict[str, Any]]]:
    place = scratch / "scratch"
    cells = Cells(plan, plan.registry(), place, marker=str(scratch), fresh=False, waiting=place / "waiting", kept=kept)
    try:
        return {cell.strategy: cells.run(cell) or cells.time(cell) for cell in plan.cells}
    finally:
        cells.close()


def slug(strategy: str) -> str:
    return Cell("none", "linear", strategy, "cpu").slug


def test_what_broke_is_kept_as_it_lay_and_what_passed_is_not(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    ran = run(plan_of(folder, "good", "doubled", "raises"), tmp_path, kept)
    assert sorted(path.name for path in kept.iterdir()) == sorted([slug("doubled"), slug("raises")])
    assert "kept" not in ran["good"][1]
    assert ran["doubled"][1]["kept"]["bytes"] > 0
    artifact = read_artifact(kept / slug("doubled"))
    assert (artifact.kind, artifact.path, artifact.model) == ("array", "convert/artifact-0/weight.npy", "linear")
    assert (kept / slug("doubled") / artifact.path).is_file()
    assert (kept / slug("doubled") / "serve" / "log.txt").is_file()
    assert "pytest" in artifact.packages
    assert not (kept / slug("raises") / ARTIFACT_FILE).exists()
    assert "almost" in (kept / slug("raises") / "convert" / "log.txt").read_text()
    assert "KeyError: 'lost'" in (kept / slug("raises") / "traceback.txt").read_text()


def test_a_plan_with_a_folder_keeps_every_cell_there_whatever_its_size(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder, "good", "bulky", keep=str(tmp_path / "mine"), keeping=Keeping(cell_mb=1))
    run(plan, tmp_path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    assert read_artifact(tmp_path / "mine" / slug("good")).facts == {"opset": 16}
    assert (tmp_path / "mine" / slug("bulky") / "convert" / "artifact-0" / "more").stat().st_size == 3 * 2**20


def test_of_what_is_too_large_the_logs_are_kept_and_the_reason_is_told(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    ran = run(plan_of(folder, "bulky", keeping=Keeping(cell_mb=1)), tmp_path, kept)
    assert ran["bulky"][1]["kept"]["left_out"] == "the cell left 3 MiB, and no more than 1 MiB of one are kept"
    assert (kept / slug("bulky") / "convert" / "log.txt").is_file()
    assert not (kept / slug("bulky") / "convert" / "artifact-0").exists()
    assert not (kept / slug("bulky") / ARTIFACT_FILE).exists()


def test_the_oldest_go_where_all_together_are_too_large(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "older", "oldest")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "artifact").write_bytes(bytes(700 * 1024))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert bound(tmp_path, 1) == ["oldest", "older"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_an_artifact_that_holds_a_link_is_kept_to_look_at_and_never_to_serve(folder: Path, tmp_path: Path) -> None:
    run(plan_of(folder, "linked"), tmp_path, tmp_path / "kept")
    assert (tmp_path / "kept" / slug("linked") / "convert" / "artifact-0" / "weight.npy").is_file()
    with pytest.raises(ArtifactChangedError, match="holds no artifact that was kept"):
        read_artifact(tmp_path / "kept" / slug("linked"))


@pytest.fixture(scope="module")
def converted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kept artifacts of a step that is right, and of one that doubles the weights."""
    made = tmp_path_factory.mktemp("converted")
    run(plan_of(folder, "good", "doubled", keep=str(made / "kept")), made)
    return made / "kept"


def test_a_crossed_cell_serves_the_artifact_and_asks_no_converter(
    folder: Path, tmp_path: Path, converted: Path
) -> None:
    cells = {"converter-is-gone": "good", "good": "doubled"}
    artifacts = tuple(("linear", strategy, str(converted / slug(other))) for strategy, other in cells.items())
    plan = plan_of(folder, *cells, artifacts=artifacts)
    ran = run(plan, tmp_path)
    passed, details = ran["converter-is-gone"]
    assert (passed.outcome.value, passed.opset, passed.convert_s) == ("passed", 16, None), passed
    assert passed.latency_ms
    assert passed.artifact_bytes
    kept = read_artifact(converted / slug("good"))
    assert details["crossed"] == {"folder": str(converted / slug("good")), **kept.origin()}
    wrong, _ = ran["good"]
    assert (wrong.outcome.value, wrong.stage.value) == ("mismatched", "match")


def test_what_serves_pytorch_itself_cannot_be_crossed(folder: Path, tmp_path: Path, converted: Path) -> None:
    plan = plan_of(folder, "pytorch", artifacts=(("linear", "pytorch", str(converted / slug("good"))),))
    record, _ = run(plan, tmp_path)["pytorch"]
    assert (record.outcome.value, record.stage.value) == ("not-applicable", "load")
    assert record.error == "own serves PyTorch itself: there is no artifact that another version could serve"


def test_an_artifact_of_other_weights_is_not_held_against_this_model(
    folder: Path, tmp_path: Path, converted: Path
) -> None:
    other = _copied(converted / slug("good"), tmp_path / "other", weights_digest="0" * 16)
    plan = plan_of(folder, "good", artifacts=(("linear", "good", str(other)),))
    record, _ = run(plan, tmp_path)["good"]
    assert (record.outcome.value, record.stage.value) == ("not-applicable", "load")
    assert "other weights or inputs" in (record.error or "")


def _copied(kept: Path, target: Path, **changed: Any) -> Path:
    shutil.copytree(kept, target)
    stated = json.loads((target / ARTIFACT_FILE).read_text())
    (target / ARTIFACT_FILE).write_text(json.dumps({**stated, **changed}))
    return target


@pytest.mark.parametrize("damage", ["edited", "gone", "outside", "no-json"])
def test_an_artifact_that_is_not_what_was_kept_is_no_result(
    folder: Path, tmp_path: Path, converted: Path, damage: str
) -> None:
    changed = {"path": "../../etc/hostname"} if damage == "outside" else {}
    other = _copied(converted / slug("good"), tmp_path / "other", **changed)
    weight = other / "convert" / "artifact-0" / "weight.npy"
    if damage == "edited":
        weight.write_bytes(weight.read_bytes()[:-1] + b"?")
    elif damage == "gone":
        weight.unlink()
    elif damage == "no-json":
        (other / ARTIFACT_FILE).write_text("[]")
    with pytest.raises(ArtifactChangedError, match="Convert it anew"):
        run(plan_of(folder, "good", artifacts=(("linear", "good", str(other)),)), tmp_path)


def test_the_identity_of_a_crossed_plan_follows_the_artifacts_content_and_no_place_to_keep(
    folder: Path, tmp_path: Path, converted: Path
) -> None:
    def of(plan: Plan) -> dict[str, str]:
        return identity(plan, plan.registry(), inside={"packages": {}, "python": ""}, lock="")

    plain = plan_of(folder, "good")
    crossed = replace(plain, artifacts=(("linear", "good", str(converted / slug("good"))),))
    again = shutil.copytree(converted / slug("good"), tmp_path / "again")
    assert of(plain) == of(replace(plain, keep=str(tmp_path), keeping=Keeping(cell_mb=1)))
    assert of(plain) != of(crossed)
    assert of(crossed) == of(replace(plain, artifacts=(("linear", "good", str(again)),)))
    _copied(again, tmp_path / "other", digest="0")
    assert of(crossed) != of(replace(plain, artifacts=(("linear", "good", str(tmp_path / "other")),)))


def test_a_plan_is_read_back_as_it_was_written(folder: Path) -> None:
    plan = plan_of(folder, "good", keep="/kept", artifacts=(("linear", "good", "/kept/linear--good"),))
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
