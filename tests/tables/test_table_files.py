from __future__ import annotations

import csv
import io
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench.errors import UsageError
from harness.tables.assembly import merge
from harness.tables.migration import MIGRATIONS, RawTable
from harness.tables.reading import read_table
from harness.tables.schema import SCHEMA_VERSION
from harness.tables.writing import write_table
from tests.tables.samples import GPU, MACHINE, failed, passed, table, timed

RESNET = (passed("resnet18", "native"), failed("resnet18", "onnx-torchscript:16"))


def edit(folder: Path, *, drop: str = "", **values: Any) -> None:
    run = {**json.loads((folder / "run.json").read_text()), **values}
    run.pop(drop, None)
    (folder / "run.json").write_text(json.dumps(run))


OF_SCHEMA_2 = {"probes_relative_error", "probes_derived", "cpu_nodes", "tf32"}
OF_SCHEMA_4 = {"operator", "place", "begins_at"}
OF_SCHEMA_5 = {"latency_spread", "latency_quality", "rss_source"}
OF_SCHEMA_6 = {"gpu_torch_peak_mb", "gpu_tensorflow_peak_mb", "host_copies"}
OF_SCHEMA_7 = {"identity", "carried_from"}


def drop_columns(folder: Path, names: set[str], *, of: str = "cells.csv") -> None:
    header, *rows = list(csv.reader(io.StringIO((folder / of).read_text())))
    kept = [at for at, name in enumerate(header) if name not in names]
    with (folder / of).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([row[at] for at in kept] for row in (header, *rows))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = table(*RESNET, missing=[("resnet18", "onnx-dynamo")], gpu=GPU, driver="550.1", ended=None)
    folder = write_table(tmp_path, written)
    assert folder == tmp_path / "torch2.0" / "cpu-quick" / "20260131T120000Z"
    assert names(folder) == ["cells.csv", "launches.csv", "run.json"]
    assert names(folder.parent) == ["20260131T120000Z"]
    back = read_table(folder)
    assert back.run == written.run
    assert back.folder == folder
    assert [r.cell for r in back.records] == [r.cell for r in written.records]
    assert not back.run.complete
    assert back.run.missing == ("resnet18/onnx-dynamo",)


def test_the_folder_is_named_in_utc(tmp_path: Path) -> None:
    folder = write_table(tmp_path, table(*RESNET, started="2026-01-31T23:30:00.25-02:00"))
    assert folder.name == "20260201T013000Z"


def test_a_table_has_the_rights_of_an_ordinary_folder(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.mkdir()
    assert stat.S_IMODE(write_table(tmp_path, table(*RESNET)).stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_writing_the_same_table_twice_changes_nothing(tmp_path: Path) -> None:
    first = write_table(tmp_path, table(*RESNET))
    before = (first / "cells.csv").stat()
    assert write_table(tmp_path, table(*RESNET)) == first
    assert (first / "cells.csv").stat() == before


def test_the_environments_of_extensions_come_back(tmp_path: Path) -> None:
    own = table(*RESNET)
    tools = table(passed("resnet18", "onnx2tf", extension="tools"), extension="tools", packages={"onnx2tf": "1.17.5"})
    written = merge([own, tools])
    back = read_table(write_table(tmp_path, written))
    assert back.run == written.run
    assert back.run.extensions["tools"].packages == {"onnx2tf": "1.17.5"}


def test_a_run_of_before_extensions_had_a_policy_is_read(tmp_path: Path) -> None:
    tools = table(passed("resnet18", "onnx2tf", extension="tools"), extension="tools", policy={"launches": 1})
    folder = write_table(tmp_path, merge([table(*RESNET, policy={"launches": 3}), tools]))
    run = read_table(folder).run
    assert [dict(run.policy_of(name)) for name in ("", "tools")] == [{"launches": 3}, {"launches": 1}]
    stated = json.loads((folder / "run.json").read_text())["extensions"]["tools"]
    assert stated.pop("policy") == {"launches": 1}
    edit(folder, extensions={"tools": stated})
    assert read_table(folder).run.policy_of("tools") == {"launches": 3}


def test_a_run_of_before_there_were_extensions_is_read(tmp_path: Path) -> None:
    folder = write_table(tmp_path, table(*RESNET))
    edit(folder, drop="extensions")
    assert read_table(folder).run.extensions == {}


def test_another_table_in_the_same_place_is_kept(tmp_path: Path) -> None:
    folder = write_table(tmp_path, table(*RESNET))
    before = (folder / "cells.csv").read_bytes()
    with pytest.raises(UsageError, match="another table already"):
        write_table(tmp_path, table(passed("vgg11-bn", "native")))
    assert (folder / "cells.csv").read_bytes() == before


def test_a_place_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "torch2.0").write_text("a file where a folder should be")
    with pytest.raises(UsageError, match="cannot be written"):
        write_table(tmp_path, table(*RESNET))


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a folder"):
        write_table(tmp_path, table(combination=name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_table(tmp_path / "results", table(*RESNET))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "machine",
            {"cpu": "x", "cores": "2", "memory_mb": 1, "os": "Linux"},
            "'machine.cores': expected int, got str",
        ),
        ("machine", {"cpu": "x", "memory_mb": 1, "os": "Linux"}, "the key 'machine.cores' is missing"),
        ("selected", "no", "'selected': expected bool, got str"),
        ("planned", True, "'planned': expected int, got bool"),
        ("gpu", {"name": "x", "memory_mb": 1.5, "count": 1}, "'gpu.memory_mb': expected int, got float"),
        ("gpu", [], "'gpu': expected object, got list"),
        ("packages", {"torch": None}, "'packages.torch': expected str, got null"),
        ("policy", {"timeout_s": "x"}, "'policy.timeout_s': expected int, got str"),
        ("loadavg", [1.0], "'loadavg.1"),
        ("extensions", None, "'extensions': expected object, got null"),
        ("extensions", {"tools": []}, "'extensions.tools': expected object, got list"),
        ("extensions", {"tools": {"packages": {}}}, "the key 'extensions.tools.lock_digest' is missing"),
        ("extensions", {"tools": {"lock_digest": "x"}}, "the key 'extensions.tools.packages' is missing"),
        (
            "extensions",
            {"tools": {"lock_digest": 1, "packages": {}}},
            "'extensions.tools.lock_digest': expected str, got int",
        ),
        (
            "extensions",
            {"tools": {"lock_digest": "x", "packages": {"onnx2tf": 1.17}}},
            "'extensions.tools.packages.onnx2tf': expected str, got float",
        ),
        (
            "extensions",
            {"tools": {"lock_digest": "x", "packages": {}, "mood": 1}},
            "the key 'extensions.tools.mood' is not known",
        ),
        ("mood", "good", "the key 'mood' is not known"),
        ("started", "yesterday", "'started': expected a time in UTC"),
        ("started", "2026-01-31T12:00:00", "'started': expected a time in UTC"),
        ("ended", "later", "'ended': expected a time in UTC"),
        ("device", "cdua", "unknown device 'cdua'. Did you mean 'cuda'?"),
        ("tier", "quik", "unknown tier 'quik'. Did you mean 'quick'?"),
        ("planned", 3, "do not add up"),
        ("complete", False, "do not add up"),
        ("combination", "torch2.1", "column 'combination': 'torch2.0', and run.json says 'torch2.1'"),
        (
            "schema_version",
            SCHEMA_VERSION + 1,
            f"written by a newer harness (schema {SCHEMA_VERSION + 1}, this one reads up to {SCHEMA_VERSION}): upgrade",
        ),
        ("schema_version", 0, "schema 0 is older than this harness can read"),
        ("schema_version", "1", "'schema_version': expected int, got '1'"),
    ],
)
def test_a_wrong_key_is_named_by_its_path(folder: Path, key: str, value: Any, message: str) -> None:
    edit(folder, **{key: value})
    with pytest.raises(UsageError) as caught:
        read_table(folder)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value) or key in ("device", "tier")


def test_a_table_that_is_cut_short_is_refused(folder: Path) -> None:
    text = (folder / "cells.csv").read_text()
    lines = text.splitlines(keepends=True)
    for broken, message in [
        ("".join(lines[:-1]), "cut short, 1 rows where run.json says 2"),
        (text[:-20] + "\n", "row 2"),
        (text[:-1], "its last line has no end"),
        ("", "its last line has no end"),
        (text + lines[1], "not of this run, 3 rows"),
    ]:
        (folder / "cells.csv").write_text(broken)
        with pytest.raises(UsageError, match=message) as caught:
            read_table(folder)
        assert str(caught.value).startswith(str(folder / "cells.csv"))
        assert "`harness run`" in str(caught.value)


def test_a_repeated_cell_is_refused(folder: Path) -> None:
    lines = (folder / "cells.csv").read_text().splitlines(keepends=True)
    (folder / "cells.csv").write_text(lines[0] + lines[1] * 2)
    with pytest.raises(UsageError, match=r"row 2 \(line 3\) repeats the cell of row 1"):
        read_table(folder)


def test_windows_line_ends_are_read(folder: Path) -> None:
    before = read_table(folder)
    text = (folder / "cells.csv").read_bytes()
    (folder / "cells.csv").write_bytes(text.replace(b"\n", b"\r\n"))
    assert read_table(folder) == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", b'{"schema_version": 1,', "run.json: not valid JSON, perhaps cut short"),
        ("run.json", b"\xff", "run.json: not valid JSON"),
        ("run.json", b"[]", "'schema_version': expected int"),
        ("run.json", None, "no run.json in it"),
        ("cells.csv", b"\xff\n", "cells.csv: not UTF-8 at byte 0"),
        ("cells.csv", None, "cells.csv: no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(folder: Path, name: str, content: bytes | None, message: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_table(folder)


def rename_host(raw: RawTable) -> RawTable:
    """A made-up migration: the key `host` of run.json became `machine`."""
    run = {("machine" if key == "host" else key): value for key, value in raw.run.items()}
    return replace(raw, run=run)


def seconds_to_milliseconds(raw: RawTable) -> RawTable:
    """A made-up migration: the column `latency_s` became `latency_ms`."""
    at = raw.header.index("latency_s")
    rows = (tuple(f"{float(v) * 1000:.6f}" if n == at and v else v for n, v in enumerate(row)) for row in raw.rows)
    return replace(raw, header=(*raw.header[:at], "latency_ms", *raw.header[at + 1 :]), rows=tuple(rows))


def test_an_older_table_is_migrated_version_by_version(folder: Path) -> None:
    text = (folder / "cells.csv").read_text()
    (folder / "cells.csv").write_text(text.replace("latency_ms", "latency_s", 1).replace("2.000000", "0.002000"))
    edit(folder, drop="machine", schema_version=0, host=vars(MACHINE))
    (folder / "launches.csv").unlink()
    drop_columns(folder, OF_SCHEMA_4 | OF_SCHEMA_5 | OF_SCHEMA_6 | OF_SCHEMA_7)
    later = {version: MIGRATIONS[version] for version in (2, 3, 4, 5, 6)}
    back = read_table(folder, migrations={0: rename_host, 1: seconds_to_milliseconds, **later})
    assert back.run == table(*RESNET).run
    assert back.records[0].latency_ms == 2.0
    with pytest.raises(UsageError, match="schema 1 is older"):
        read_table(folder, migrations={0: rename_host})


@pytest.mark.parametrize("version", [2, 1])
def test_a_table_from_before_there_were_series_of_own_models_is_of_the_zoo(folder: Path, version: int) -> None:
    edit(folder, drop="models", schema_version=version)
    (folder / "launches.csv").unlink()
    drop_columns(folder, OF_SCHEMA_4 | OF_SCHEMA_5 | OF_SCHEMA_6 | OF_SCHEMA_7)
    if version == 1:
        edit(folder, drop="identity")
        drop_columns(folder, OF_SCHEMA_2)
    back = read_table(folder)
    assert back.run == table(*RESNET).run
    assert back.run.models == ""
    assert back.run.schema_version == SCHEMA_VERSION


def test_launches_of_before_anybody_asked_who_used_the_gpu_are_read(tmp_path: Path) -> None:
    made, launches = timed("resnet18", "native", [0.001, 0.002], gpu_use="exclusive")
    written = table(made, launches=launches)
    folder = write_table(tmp_path / "results", written)
    assert [each.gpu_use for each in read_table(folder).launches] == ["exclusive"]
    edit(folder, schema_version=5)
    drop_columns(folder, OF_SCHEMA_6 | OF_SCHEMA_7)
    drop_columns(folder, {"gpu_use"}, of="launches.csv")
    back = read_table(folder)
    assert back.run == written.run
    assert [(each.latency_ms, each.gpu_use) for each in back.launches] == [(1.5, None)]
    drop_columns(folder, {"busy_cores"}, of="launches.csv")
    with pytest.raises(UsageError, match=r"launches\.csv: the header lacks busy_cores, gpu_use"):
        read_table(folder)


def test_committed_tables_of_every_schema_are_read() -> None:
    found = sorted((Path(__file__).parents[2] / "results").glob("*/*/*/run.json"))
    assert {json.loads(path.read_text())["schema_version"] for path in found} == {1, 2, 5, 6}
    assert {read_table(path.parent).run.models for path in found} == {""}
