from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.bench.errors import NoEvidenceError, UsageError
from harness.tables.assembly import merge
from harness.tables.finding import Found, Locks, Series, device_of, find_table, has_extended
from harness.tables.schema import Table
from harness.tables.writing import write_table
from tests.tables.samples import failed, passed, table

RESNET = (passed("resnet18", "native"), failed("resnet18", "onnx-torchscript:16"))
QUICK = Series(tier="quick", device="cpu")
NOW = "0123456789abcdef"
OLD = "fedcba9876543210"
LOCKS = Locks(own=NOW, extensions={"tools": "7" * 16})


def at(day: int, *records: Any, **values: Any) -> Table:
    return table(*(records or RESNET), started=f"2026-01-{day:02}T12:00:00Z", **values)


def extended(day: int, *, digest: str = "7" * 16, **values: Any) -> Table:
    """A table of a run with the extension `tools`."""
    started = f"2026-01-{day:02}T12:00:00Z"
    tools = passed("resnet18", "onnx2tf", extension="tools")
    return merge(
        [at(day, **values), table(tools, extension="tools", lock_digest=digest, **{**values, "started": started})]
    )


def find(root: Path, reference: str, tier: str = "quick", device: str = "cpu", **values: Any) -> Found:
    locks = values.pop("locks", None)
    return find_table(root, reference, Series(tier=tier, device=device, **values), locks=locks)


def folder_of(root: Path, reference: str, **values: Any) -> Path | None:
    return find(root, reference, **values).table.folder


def test_a_name_stands_for_its_newest_complete_table_that_is_not_of_selected_cells(tmp_path: Path) -> None:
    write_table(tmp_path, at(1))
    newest = write_table(tmp_path, at(2))
    write_table(tmp_path, at(4, selected=True))
    write_table(tmp_path, at(5, device="cuda"))
    write_table(tmp_path, at(6, tier="core"))
    (newest.parent / ".20260107T120000Z.partial").mkdir()
    (tmp_path / "README.md").write_text("not a combination")
    assert find(tmp_path, "torch2.0").newer == ()
    assert folder_of(tmp_path, "torch2.0") == newest
    assert find(tmp_path, "torch2.0", tier="core").table.run.tier == "core"
    assert find(tmp_path, "torch2.0", device="cuda").table.run.device == "cuda"


def test_a_newer_table_that_is_not_complete_is_told(tmp_path: Path) -> None:
    write_table(tmp_path, at(1, RESNET[0], missing=[("resnet18", "onnx-torchscript:16")]))
    newest = write_table(tmp_path, at(2))
    newer = write_table(tmp_path, at(3, RESNET[0], missing=[("resnet18", "onnx-torchscript:16")]))
    found = find(tmp_path, "torch2.0")
    assert found.table.folder == newest
    assert [*map(str, found.newer)] == [f"a newer table of torch2.0, {newer.name}, is not complete"]


def test_a_name_stands_for_the_lock_as_it_is(tmp_path: Path) -> None:
    """Also where a newer table is of a lock that was tried and taken back."""
    write_table(tmp_path, at(1))
    fitting = write_table(tmp_path, at(2))
    newest = write_table(tmp_path, at(3, lock_digest=OLD))
    assert folder_of(tmp_path, "torch2.0", locks=LOCKS) == fitting
    assert folder_of(tmp_path, "torch2.0") == newest
    assert find(tmp_path, "torch2.0", locks=LOCKS).newer == ()


def test_only_tables_of_other_locks_are_no_evidence(tmp_path: Path) -> None:
    write_table(tmp_path, at(1, lock_digest=OLD))
    newest = write_table(tmp_path, at(2, lock_digest=OLD))
    with pytest.raises(NoEvidenceError) as caught:
        find(tmp_path, "torch2.0", locks=LOCKS)
    for part in (
        f"the newest, 20260102T120000Z, is of the lock {OLD}, and the lock of torch2.0 is {NOW} now",
        "Run `harness run torch2.0 --tier quick --device cpu`",
        f"name the folder {newest}",
    ):
        assert part in str(caught.value)
    assert folder_of(tmp_path, str(newest), locks=LOCKS) == newest


def test_runs_with_extensions_are_a_series_of_their_own(tmp_path: Path) -> None:
    own = write_table(tmp_path, at(1))
    both = write_table(tmp_path, extended(2))
    assert both.parent.name == "cpu-quick+extensions"
    assert folder_of(tmp_path, "torch2.0", locks=LOCKS) == own
    assert folder_of(tmp_path, "torch2.0", extensions=True, locks=LOCKS) == both
    assert has_extended(tmp_path, "torch2.0", QUICK)
    assert not has_extended(tmp_path, "torch2.0", Series(tier="core", device="cpu"))
    assert not has_extended(tmp_path, str(own), QUICK)


def test_runs_of_own_models_are_a_series_by_their_models_and_no_bare_name_stands_for_them(tmp_path: Path) -> None:
    zoo = write_table(tmp_path, at(1))
    own = write_table(tmp_path, at(2, models="models/"))
    two = write_table(tmp_path, at(3, models="a.py b.py"))
    write_table(tmp_path, at(4, models="models/", selected=True))
    assert own.parent.name == "cpu-quick+models-models"
    assert re.fullmatch(r"cpu-quick\+models-a\.py-b\.py-[0-9a-f]{8}", two.parent.name)
    assert folder_of(tmp_path, "torch2.0") == zoo
    assert folder_of(tmp_path, "torch2.0", models="models/") == own
    assert folder_of(tmp_path, "torch2.0", models="a.py b.py") == two
    assert device_of(tmp_path, ["torch2.0"], Series(tier="quick", device="auto", models="models/")) == "cpu"
    with pytest.raises(UsageError, match=r"Run `harness run torch2\.0 --models c\.py --tier quick --device cpu`"):
        find(tmp_path, "torch2.0", models="c.py")
    shutil.rmtree(zoo.parent)
    with pytest.raises(UsageError, match="or name by --models the models of your own that it is of"):
        find(tmp_path, "torch2.0")


def test_the_command_for_own_models_has_their_folders_and_works_from_where_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("matrices", "models", "src", "below"):
        (tmp_path / folder).mkdir()
    write_table(tmp_path / "results", at(1, models="models/", paths=("src",)))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"`harness run torch2\.9 --models models/ --path src/ --tier quick"):
        find(tmp_path / "results", "torch2.9", models="models/")
    monkeypatch.chdir(tmp_path / "below")
    with pytest.raises(UsageError, match=r"`harness run torch2\.9 --models \.\./models --path \.\./src --tier quick"):
        find(tmp_path / "results", "torch2.9", models="models/")


def test_a_table_of_an_extension_alone_never_stands_for_the_combination(tmp_path: Path) -> None:
    alone = table(passed("resnet18", "onnx2tf", extension="tools"), extension="tools")
    assert write_table(tmp_path, alone).parent.name == "cpu-quick+extensions"


def test_the_locks_of_extensions_count_too(tmp_path: Path) -> None:
    write_table(tmp_path, extended(1, digest=OLD))
    with pytest.raises(NoEvidenceError, match="of other locks of its extensions") as caught:
        find(tmp_path, "torch2.0", extensions=True, locks=LOCKS)
    assert "`harness run torch2.0 --tier quick --device cpu --extensions`" in str(caught.value)
    not_had = write_table(tmp_path, extended(2, digest=""))
    assert folder_of(tmp_path, "torch2.0", extensions=True, locks=LOCKS) == not_had


def test_a_path_stands_for_its_own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_table(tmp_path / "results", at(1, selected=True, lock_digest=OLD))
    for reference in (str(folder), str(folder / "run.json"), str(folder / "cells.csv")):
        assert folder_of(tmp_path, reference, locks=LOCKS, device="cuda", tier="full") == folder
    monkeypatch.chdir(folder.parent)
    assert find(tmp_path, folder.name).table.run.selected
    monkeypatch.chdir(folder)
    assert find(tmp_path, ".").table.run.selected


def test_what_is_not_there_is_told_with_the_nearest_name_and_what_to_run(tmp_path: Path) -> None:
    write_table(tmp_path, at(1))
    write_table(tmp_path, at(3, RESNET[0], missing=[("a", "b")], tier="core"))
    write_table(tmp_path, extended(3, tier="full"))
    for arguments, parts in [
        (("torch2.00",), ["Did you mean 'torch2.0'?", "`harness run torch2.00 --tier quick --device cpu`"]),
        (
            ("torch2.0", "full"),
            ["for cpu-full", "only cpu-core, cpu-full+extensions, cpu-quick", "--tier full", "or add --extensions"],
        ),
        (("torch2.0", "core"), ["no complete table", "20260103T120000Z is not complete", "name the folder"]),
        (("torch2.0", "quick", "auto"), ["unknown device 'auto'"]),
        (("torch2.0", "huge"), ["unknown tier 'huge'"]),
        ((str(tmp_path / "torch2.0"),), ["no run.json in it", f"Did you mean {tmp_path}/torch2.0/cpu-quick/2026"]),
        ((str(tmp_path / "nowhere"),), ["no such table folder"]),
        (("",), ["no run.json in it"]),
    ]:
        with pytest.raises(UsageError) as caught:
            find(tmp_path, *arguments)
        for part in parts:
            assert part in str(caught.value)
    with pytest.raises(UsageError, match="--extensions`, or leave out --extensions"):
        find(tmp_path, "torch2.0", extensions=True)


def test_without_any_results_a_name_is_told_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There are: none\. Where it is a combination, make one with `harness run "):
        find(tmp_path / "results", "torch2.0")


def test_a_broken_newest_table_is_not_passed_over(tmp_path: Path) -> None:
    write_table(tmp_path, at(1))
    newest = write_table(tmp_path, at(2))
    (newest / "run.json").write_text("{")
    with pytest.raises(UsageError, match="not valid JSON"):
        find(tmp_path, "torch2.0")


@pytest.mark.parametrize("value", [[], {"tools": []}, "x"])
def test_extensions_of_another_form_are_refused_when_read(tmp_path: Path, value: Any) -> None:
    folder = write_table(tmp_path, at(1))
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "extensions": value}))
    with pytest.raises(UsageError, match="expected object, got"):
        find(tmp_path, "torch2.0", locks=LOCKS)


def test_auto_is_the_device_that_all_have_cuda_first(tmp_path: Path) -> None:
    def auto(*references: str, **values: Any) -> str:
        return device_of(tmp_path, references, Series(tier="quick", device="auto", **values))

    assert auto("torch2.0") == "cpu"
    for combination, device in (("torch2.0", "cpu"), ("torch2.0", "cuda"), ("torch2.1", "cpu"), ("torch2.9", "cuda")):
        folder = write_table(tmp_path, at(1, combination=combination, device=device))
    assert auto("torch2.0") == "cuda"
    assert auto("torch2.0", "torch2.9") == "cuda"
    assert auto("torch2.0", "torch2.1") == auto("torch2.1") == "cpu"
    assert auto("torch2.0", str(folder)) == "cuda"
    assert auto("torch2.0", "nothing") == "cuda"
    with pytest.raises(UsageError, match=r"'torch2.1' of cpu and 'torch2.9' of cuda, so no device has one of each"):
        auto("torch2.1", "torch2.9")
    with pytest.raises(UsageError, match="no device has one of each"):
        auto("torch2.1", str(folder))
    assert auto("torch2.1", extensions=True) == "cpu"
