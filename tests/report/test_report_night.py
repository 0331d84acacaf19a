"""A night as an issue: what was found, harmless whatever tools and users wrote, and never too long."""

from __future__ import annotations

from dataclasses import replace

import cmarkgfm
import pytest

from harness.bench.stages import Stage
from harness.report.night import night_markdown, night_texts
from harness.tables.schema import NotReproduced, Table
from harness.verdict.comparison import compare
from harness.verdict.night import Night, Tonight
from tests.report.comparisons import base_table, candidate_table, moved
from tests.report.hostile import HARMFUL
from tests.report.test_report_outlets import MENTION, _Rendered
from tests.tables.samples import failed, passed, table


def of(before: Table, now: Table) -> Tonight:
    return Tonight(table=now, comparison=compare(before, now))


SAME = table(passed("lstm", "native"), failed("lstm", "onnx-dynamo"))
BROKEN = table(failed("lstm", "native", Stage.CONVERT, error="no such operator"), failed("lstm", "onnx-dynamo"))


def test_a_night_that_changed_nothing_has_no_text() -> None:
    night = Night(tables=(of(SAME, SAME),))
    assert night_markdown(night) == ""
    assert night_texts(night)[0] == "1 table, nothing changed"


def test_what_changed_is_told_by_cause() -> None:
    night = Night(tables=(of(SAME, BROKEN), of(SAME, SAME)), missing=("torch2.1 on cpu, tier quick",))
    assert night_markdown(night) == (
        "### 2026-01-31: 1 cell changed in 2 tables; no table of torch2.1 on cpu, tier quick\n\n"
        "#### Without a table\n\n"
        "- torch2.1 on cpu, tier quick\n\n"
        "#### torch2.0: cpu, tier quick, 2 of 2 cells, started 2026-01-31T12:00:00Z, Python 3.11.7\n\n"
        "Against the table of 2026-01-31T12:00:00Z.\n\n"
        "| change | cells | outcome | error |\n"
        "| --- | --- | --- | --- |\n"
        "| newly failing | `lstm/native` | passed → failed at convert | Fail: no such operator |\n"
    )


def test_the_lines_of_a_log_have_all_of_it() -> None:
    night = Night(tables=(of(SAME, BROKEN),), refused=(("job/x", "not complete"),))
    assert night_texts(night) == [
        "1 cell changed in 1 table; 1 refused",
        "torch2.0: cpu, tier quick, 2 of 2 cells, started 2026-01-31T12:00:00Z, Python 3.11.7",
        "  passed -> failed at convert: lstm/native",
        "refused: job/x: not complete",
    ]


def test_every_category_and_what_moved_are_told() -> None:
    told = night_markdown(Night(tables=(of(base_table(), candidate_table()),)))
    for words in ("newly failing", "mismatched", "failing earlier", "fixed", "no longer applicable"):
        assert words in told
    assert "not comparable" not in told
    told = night_markdown(Night(tables=(Tonight(table=moved().tables[1], comparison=moved()),)))
    assert told.startswith("### 2026-01-31: native output of 3 models moved in 1 table\n")
    assert "**Moved native outputs" in told


def test_what_is_not_reproducible_is_told_beside_what_changed() -> None:
    again = NotReproduced(cell="lstm/native", before="passed", now="failed at load", seen="2026-01-30T03:17:00Z")
    now = replace(SAME, run=replace(SAME.run, not_reproducible=(again,)))
    night = Night(tables=(of(SAME, now),))
    assert night_texts(night)[0] == "1 cell not reproducible in 1 table"
    assert night_texts(night)[2] == "  not reproducible: lstm/native, passed -> failed at load"
    assert "| `lstm/native` | passed → failed at load | 2026-01-30T03:17:00Z |" in night_markdown(night)


@pytest.mark.parametrize("harm", HARMFUL)
def test_an_issue_notifies_and_links_nobody(harm: str) -> None:
    now = table(failed("lstm", "native", error=harm), failed("lstm", "onnx-dynamo", error=harm, fingerprint="0" * 8))
    again = NotReproduced(cell=harm, before=harm, now=harm, seen=harm)
    now = replace(now, run=replace(now.run, combination=harm, not_reproducible=(again,)))
    tonight = replace(of(SAME, now), unexpected=tuple(now.records))
    source = night_markdown(Night(tables=(tonight,), missing=(harm,), refused=((harm, harm),)))
    shown = _Rendered(cmarkgfm.github_flavored_markdown_to_html(source))
    allowed = {"h3", "h4", "ul", "li", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "strong"}
    assert shown.elements <= allowed
    assert not MENTION.search(shown.running)


def test_an_issue_is_never_longer_than_github_takes() -> None:
    now = table(*(failed(f"model-{n}", "native", error="x" * 500, fingerprint=f"{n:08x}") for n in range(200)))
    before = table(*(passed(f"model-{n}", "native") for n in range(200)))
    told = night_markdown(Night(tables=(of(before, now),) * 30, refused=(("job", "y" * 500),) * 1000))
    assert len(told) < 65_536
    assert told.startswith("### 2026-01-31: 6000 cells changed in 30 tables; 1000 refused\n")
    assert told.endswith("More was found than an issue has room for: the tables have it all.\n")
    assert "and 160 more" in told
    assert "and 960 more" in told


def test_a_table_beyond_the_room_of_an_issue_hides_none_of_the_others() -> None:
    models = [f"{'m' * 80}-{number}" for number in range(800)]
    large = table(*(failed(each, "native", fingerprint=f"{n // 20:08x}") for n, each in enumerate(models)))
    small = table(failed("small", "native"))
    before = table(*(passed(each, "native") for each in (*models, "small")))
    told = night_markdown(Night(tables=(of(before, large), of(before, small))))
    assert models[0] not in told
    assert "`small/native`" in told
