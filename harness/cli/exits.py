"""How a command ends: its exit code, and what a person is told of an error."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from harness.bench.errors import UsageError

WORSE, WRONG_USE, COULD_NOT_TELL = 1, 2, 3


def told(command: Callable[..., int]) -> Callable[..., None]:
    """Exit with what the command returns; errors that a person can mend are told in their terms."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except UsageError as error:
            click.echo(f"harness: {error}", err=True)
            code = WRONG_USE
        except BrokenPipeError:
            # Whoever read the output has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except KeyboardInterrupt:
            click.echo(
                "harness: interrupted. Run the same command again to go on from the last recorded cell.", err=True
            )
            code = COULD_NOT_TELL
        except Exception:  # noqa: BLE001 - a bug of ours says nothing of the models: its exit code must not be 1
            traceback.print_exc()
            click.echo("harness: this is a bug in the harness. Please report it with the lines above.", err=True)
            code = COULD_NOT_TELL
        sys.exit(code)

    return wrapper
