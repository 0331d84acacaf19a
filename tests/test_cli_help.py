"""`harness --help`: every command in one section, in lines that a terminal of 80 columns has room for."""

from __future__ import annotations

from click.testing import CliRunner

from harness import cli
from harness.cli.sections import EXAMPLES, SECTIONS


def _help(*arguments: str) -> str:
    result = CliRunner().invoke(cli.cli, list(arguments), prog_name="harness", terminal_width=80)
    assert result.exit_code == (0 if arguments else 2)
    return result.output


def test_every_command_is_in_one_section() -> None:
    sectioned = [name for section in SECTIONS.values() for name in section]
    assert len(sectioned) == len(set(sectioned))
    assert set(cli.cli.commands) <= set(sectioned)


def test_the_sections_come_in_their_order_with_a_whole_line_for_each_command() -> None:
    text = _help("--help")
    titles = [title for title in SECTIONS if f"\n{title}:\n" in text]
    assert titles == list(SECTIONS)
    assert [text.index(f"\n{title}:\n") for title in titles] == sorted(text.index(f"\n{title}:\n") for title in titles)
    lines = text.splitlines()
    for name in cli.cli.commands:
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.endswith("."), line  # cut short, click would end it with an ellipsis
        assert not line.endswith("..."), line
    assert max(map(len, lines)) <= 80


def test_the_examples_name_commands_that_exist() -> None:
    text = _help("--help")
    for example, what in EXAMPLES:
        assert example.split()[1] in cli.cli.commands
        assert f"  {example} " in text
        assert what in text


def test_harness_alone_prints_the_same_and_is_no_success() -> None:
    assert _help().strip() == _help("--help").strip()  # a script that lost its command must not read it as a verdict
