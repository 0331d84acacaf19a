"""What an error's text names: the operator that it is about, and the node or the module of the model."""

from __future__ import annotations

import re

_NAME = r"(?P<name>[A-Za-z_][\w.:]*)"

_OPERATORS = tuple(
    re.compile(pattern)
    for pattern in (
        # torch's exporters
        rf"Exporting the operator '{_NAME}' to ONNX",
        rf"unrecognized namespace {_NAME}\.",
        rf"ONNX export of operator {_NAME}",
        r"The containing node has kind '(?P<name>[\w:]+)'",
        r"No ONNX function found for <OpOverload\(op='(?P<name>[^']+)'",
        r"call_function\[target=(?:torch\.ops\.)?(?P<name>[\w.]+)\]",
        # converters
        rf"convert function for op '{_NAME}' not implemented",
        r"Lowering not found: (?P<name>[\w.]+)",
        r"\b(?P<name>[A-Z]\w+)(?: version \d+)? is not implemented\.",
        r"\b(?P<name>[A-Z]\w+) OP is not yet implemented",
        r"The current implementation of (?P<name>[A-Z]\w+) supports only",
        r"'(?P<name>tf\.\w+)' op ",
        r"Detected at node '?[^' ]*/(?P<name>[A-Z]\w+)'?",
        # ONNX and its runtimes
        rf"Could not find an implementation for {_NAME}\(",
        rf"Failed to find kernel for (?:com\.microsoft\.)?{_NAME}\(",
        rf"of operator \({_NAME}\) in node",
        rf"while running {_NAME} node",
        rf"No Op registered for {_NAME} with",
        r"\bOpType: (?P<name>\w+)",
        r"\bOp \((?P<name>\w+)\)",
    )
)

_NODES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b[Nn]ode \((?P<name>[^()]+)\)",
        r"\bnode with name '(?P<name>[^']+)'",
        r"\bnode\. Name: ?'(?P<name>[^']*)'",
        r"\bBad node spec for node\. Name: (?P<name>\S+)",
        r"\(node (?:fused )?(?P<name>[^()]+)\)",
        r"\(node:'(?:fused )?(?P<name>[^']+)'",
        r"\bonnx_op_name: (?P<name>\S+)",
        r"Detected at node '?(?P<name>[^' ]+)'?",
    )
)


def operator_of(text: str) -> str:
    """The operator that the text of an error is about, as the tool spells it; empty where none is named."""
    return _first(_OPERATORS, text)


def node_of(text: str) -> str:
    """The node of a graph that it names, such as ``/attention/Reshape_4``; empty where none is named."""
    return _first(_NODES, text)


def _first(patterns: tuple[re.Pattern[str], ...], text: str) -> str:
    found = (pattern.search(text) for pattern in patterns)
    return next((each["name"].strip() for each in found if each and each["name"].strip()), "")
