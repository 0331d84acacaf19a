"""`harness --help`: the commands by what a person wants to do."""

from __future__ import annotations

import click

from harness.cli.exits import Commands

SECTIONS: dict[str, tuple[str, ...]] = {
    "Get a verdict": ("bump", "run", "gate", "duel", "advise", "expect"),
    "Look at results": ("show", "compare", "history", "report", "plan", "pins"),
    "Look into a cell": ("explain", "rerun", "open", "reproduce"),
    "Bring your own": ("init", "new-model", "check", "ingest"),
    "Keep house": ("doctor", "clean", "lock", "join"),
}
"""Every command in one section, in the order in which they are shown."""

EXAMPLES = (
    ("harness bump torch2.0 'onnx==1.15.0'", "what breaks when this moves?"),
    ("harness run torch2.0 torch2.1", "the tables of two combinations"),
    ("harness gate torch2.0 torch2.1", "may I merge?"),
    ("harness duel torch2.0 torch2.1", "what got slower?"),
    ("harness run torch2.1 --models mine.py", "a model of your own"),
    ("harness doctor", "what would stop a run here?"),
)


class SectionedCommands(Commands):
    """Commands whose help has a section for each thing that a person wants to do, and examples at its end."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section after the other."""
        del ctx
        names = [name for section in SECTIONS.values() for name in section if name in self.commands]
        width = max(map(len, names), default=0)
        for title, section in SECTIONS.items():
            shown = [self.commands[name] for name in section if name in self.commands]
            rows = [
                (f"{command.name:{width}}", command.get_short_help_str(formatter.width - width - 6))
                for command in shown
                if not command.hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        del ctx
        width = max(len(example) for example, _ in EXAMPLES)
        with formatter.section("Examples"):
            for example, what in EXAMPLES:
                formatter.write(f"{'':{formatter.current_indent}}{example:{width}}  # {what}\n")
