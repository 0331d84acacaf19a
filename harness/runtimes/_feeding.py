"""Which input of an artifact is which of the model's: by name, and never by position in silence.

A tool may drop an input that nothing reads, and rename one. The first is fine, since the outputs are matched; the
second is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.bench import Inputs


def fed(wanted: Iterable[str], inputs: Inputs) -> dict[str, object]:
    """The inputs that an artifact has, by its names. Raises `RuntimeError` for a name that the model does not have."""
    names = list(wanted)
    strange = [name for name in names if name not in inputs]
    if strange:
        msg = (
            f"the artifact's input {', '.join(map(repr, strange))} has no name of the model's inputs, which are "
            f"{', '.join(map(repr, inputs))}: the tool renamed it, and which one it is is not certain"
        )
        raise RuntimeError(msg)
    return {name: inputs[name] for name in names}


def in_order(names: Iterable[str]) -> list[str]:
    """Outputs in the model's order, which is that of the numbers at the end of their names: `output_10` is the 11th.

    Raises `RuntimeError` where there are several and they are not numbered, or not each with its own number.
    """
    found = list(names)
    if len(found) < 2:  # noqa: PLR2004 - there is no order among fewer
        return found
    numbers = {name: name.rpartition("_")[2] for name in found}
    if not all(number.isdigit() for number in numbers.values()) or len(set(numbers.values())) != len(found):
        msg = f"the artifact's outputs are {_listed(found)}: the tool renamed them, and which is which is not certain"
        raise RuntimeError(msg)
    return sorted(found, key=lambda name: int(numbers[name]))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
