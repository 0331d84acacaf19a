"""Texts that act where an outlet takes them for more than text, and tables that have them wherever others have a say.

Records hold them as they are here. Those of a real run have been through `harness.bench.text.printable`, which leaves
much less of them; no outlet may rely on that.
"""

from __future__ import annotations

from dataclasses import replace

from harness.tables.schema import Table
from tests.tables.samples import failed, mismatched, native, not_applicable, output, passed, table

HARMFUL = (
    "@octocat @org/team, see #123, org/repo#7, GH-8, !9 and 6014bdcdead",
    "https://evil.invalid/x www.evil.invalid <https://evil.invalid> a@evil.invalid",
    "[text](https://evil.invalid) ![image](https://evil.invalid/x.png) [x]: https://evil.invalid",
    "<script>alert(1)</script> <img src=x onerror=y> <details> &lt;b&gt; &commat;octocat",
    "</script><script>document.title='ran'</script><!-- </style></textarea></title></details></summary> -->",
    "<img src=x onerror=\"document.title='ran'\"><svg/onload=document.title='ran'><a href='javascript:alert(1)'>x</a>",
    "--> <!-- conversion-harness: of another --> ]]> <![CDATA[ &#0; &amp; <?xml?>",
    "**bold** __bold__ ~~gone~~ # heading :tada: $x^2$ [^1] - [ ] task",
    "`code` ``` fence ``` `` @octocat `` | bar \\| bar \\\\| @octocat | `",
    "one\n\n## two\n> three\n- four\n```\n@octocat\n| a |\n| --- |",
    '=HYPERLINK("https://evil.invalid") ;=1+1 @SUM(1) +1 -1 \t=1',
    "=cmd|'/C calc'!A0",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \x00 \x07 \x7f \udcff",
    "\x1b[2J\x1b[H\x1b[10A\rgone\x08\x08 \x1b]8;;https://evil.invalid\x07link\x1b]8;;\x07 \ud800 \uffff \x0b\x0c\x85",
    "\u202etxt.exe\u2066 \u200b\u200f\ufeff\u2028\u2029\u3164",
    "[bold red]markup[/] [link=https://evil.invalid]x[/link]",
    "1. 2) --- === +++",
    "::set-output name=decision::may merge\n::error file=a.py,line=1::gone\r::add-mask::a\r\n::stop-commands::x",
    "%0A::error::smuggled%0D%25 ##[error]old ##[add-mask]a",
    'a{b="c"} 1\n# EOF\n# TYPE x gauge\\" } \\n',
)
"""What each of the outlets would make something of."""

EVERYTHING = "\n".join(HARMFUL)

ALIVE = ("<script", "<img", "<svg", "</details", "\x1b", "\x00", "\r", "\x08", "\u202e", "\udcff", "\ud800")
"""What no outlet may have anywhere, but in a quoted form of its own."""


def long_text(length: int = 10_000_000) -> str:
    """`EVERYTHING`, over and over, up to `length` characters."""
    return (EVERYTHING * (1 + length // len(EVERYTHING)))[:length]


def tables_of(harmful: str) -> tuple[Table, Table]:
    """Two tables with `harmful` wherever a tool or a user has a say: names, errors, reasons, versions, conditions.

    A cell fails in the second one, one is wrong, one cannot exist any more, one has no record; a native output moved.
    """
    name = " ".join(harmful[:2000].split()) or "x"
    base = table(
        passed("a", "native"),
        passed(name, "native"),
        passed(name, name),
        passed("b", "native"),
        passed("c", "native"),
        passed(name, "onnx-torchscript"),
        natives={"a": native(output(1.0)), name: native(output(1.0, 2.0))},
    )
    candidate = table(
        failed("a", "native", error=harmful, error_type=harmful, operator=harmful[:500], place=harmful[:500]),
        failed(name, "native", error=harmful, error_type=harmful),
        passed(name, name, provider=name, latency_quality="busy, " + name, relative_error=0.5),
        mismatched("b", "native", difference=harmful, begins_at=name),
        not_applicable("c", "native", harmful),
        combination="torch2.1",
        missing=[(name, "onnx-torchscript")],
        packages={"torch": "2.1.0", "tool": "1", name: name},
        pins={"torch": "2.1.0", "other": name},
        started="2026-01-31T13:00:00Z",
        natives={"a": native(output(1.0)), name: native(output(1.0, 5.0))},
    )
    machine = replace(candidate.run.machine, cpu=name, os=name)
    return base, replace(candidate, run=replace(candidate.run, machine=machine))
