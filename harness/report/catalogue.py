"""The pages that are made from the code's own metadata: every strategy, and every model of the zoo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.bench.cards import ModelCard
from harness.bench.definitions import Strategy
from harness.bench.plan import spellings
from harness.bench.registry import Registry
from harness.bench.stages import Outcome
from harness.tables.schema import Table

# What the guides name and no package index has, with where it would plug in.
OUTSIDE = (
    (
        "TensorFlow Serving",
        "no package of the server to install from a package index; only its client is there",
        "a runtime like `service`: it starts the server on the SavedModel that any strategy leaves, and calls it",
    ),
    (
        "TorchServe",
        "unmaintained: its repository was archived in 2025",
        "a runtime like `service`, in place of the gRPC server that `hybrid-service` starts on the PyTorch side",
    ),
)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rate(tables: Sequence[Table], name: str) -> str:
    """Passed of applicable cells of a strategy, in the first table of each combination that has any."""
    parts: dict[str, str] = {}
    for table in tables:
        records = [r for r in table.records if r.strategy.partition(":")[0] == name]
        if table.run.combination in parts:
            continue  # a larger tier has told
        where = f"{table.run.combination} ({table.run.tier})"
        tried = [r for r in records if r.outcome is not Outcome.NOT_APPLICABLE]
        passed = sum(r.outcome is Outcome.PASSED for r in tried)
        if tried and all(r.outcome is Outcome.UNRESOLVABLE for r in tried):
            parts[table.run.combination] = f"{where}: unresolvable"
        elif tried:
            parts[table.run.combination] = f"{where}: {passed} of {len(tried)}"
        elif records:
            parts[table.run.combination] = f"{where}: not applicable"
    return "; ".join(parts.values()) or "not run"


def _versions(tables: Sequence[Table], strategy: Strategy) -> str:
    """The versions of a strategy's tools in each combination."""
    parts: dict[str, str] = {}
    for table in tables:
        packages: dict[str, str] = dict(table.run.packages)
        extended = table.run.extensions.get(strategy.extension)
        if extended is not None:
            packages.update(extended.packages)
        known = [f"{tool} {packages[tool]}" for tool in strategy.tools if tool in packages]
        told = f"{table.run.combination}: {', '.join(known)}"
        if known and len(told) > len(parts.get(table.run.combination, "")):
            parts[table.run.combination] = told
    return "; ".join(parts.values())


def strategies_page(registry: Registry, tables: Sequence[Table]) -> str:
    """`docs/strategies.md`: route, tools, runtime, needs, limits and success of each strategy."""
    lines = [
        "# Strategies",
        "",
        "Made from the strategies' own files and the committed tables by `python -m tests.documents`. Success is",
        "passed of applicable cells, all spellings of a strategy together; a model that a strategy cannot take by",
        "its nature is not applicable and does not count. The zoo holds models that nothing can convert, and twins",
        "that are wrong on purpose (the `digits-cnn-…` variants): the core tier does not come to 100 %.",
        "",
        _row(["strategy", "route", "runtime", "needs", "success"]),
        "|---|---|---|---|---|",
    ]
    for name, entry in registry.strategies.items():
        strategy = entry.declared
        needs = [f"the extension `{strategy.extension}`"] if strategy.extension else []
        needs += ["a twin"] if strategy.needs_twin else []
        needs += ["a TensorFlow implementation"] if strategy.needs_implementation else []
        route = " → ".join(strategy.steps)
        lines.append(_row([f"[`{name}`](#{name})", route, strategy.runtime, ", ".join(needs), _rate(tables, name)]))
    for name, entry in registry.strategies.items():
        lines += _strategy_section(registry, name, entry.declared, tables)
    lines += [
        "",
        "## What the guides name and is not here",
        "",
        _row(["system", "what keeps it out", "where it would plug in"]),
    ]
    lines += ["|---|---|---|", *(_row(each) for each in OUTSIDE)]
    return "\n".join(lines) + "\n"


def _strategy_section(registry: Registry, name: str, strategy: Strategy, tables: Sequence[Table]) -> list[str]:
    steps = [f"{step} ({registry.steps[step].declared.summary})" for step in strategy.steps]
    runtime = registry.runtimes[strategy.runtime].declared
    facts = [
        ("does", strategy.summary),
        ("steps", "; ".join(steps)),
        ("served by", f"{strategy.runtime} ({runtime.summary})"),
        ("spellings", ", ".join(f"`{s}`" for s in spellings(name, strategy, "full"))),
        ("shapes of its artifact", strategy.shapes),
        ("tools", _versions(tables, strategy) or ", ".join(strategy.tools)),
        ("cannot", strategy.limits),
    ]
    return ["", f"## {name}", "", *(f"- **{what}**: {told}" for what, told in facts if told)]


def models_page(registry: Registry, parameters: Mapping[str, int]) -> str:
    """`model_zoo/README.md`: each model, its family, what it is for, parameters, tier, probes, expected breaks."""
    families: dict[str, list[tuple[str, ModelCard]]] = {}
    for name, entry in registry.models.items():
        families.setdefault(entry.declared.family, []).append((name, entry.declared))
    lines = [
        "# Model zoo",
        "",
        f"{len(registry.models)} models, one file each. Made from the files and the committed tables by",
        "`python -m tests.documents`. How to add one: [docs/adding.md](../docs/adding.md).",
    ]
    for family in sorted(families):
        lines += [
            "",
            f"## {family}",
            "",
            _row(["model", "what it is for", "parameters", "tier", "probes", "twin", "expected breaks"]),
        ]
        lines.append("|---|---|---|---|---|---|---|")
        for name, model in families[family]:
            count = f"{parameters[name]:,}" if name in parameters else ""
            file = f"[`{name}`]({name.replace('-', '_')}.py)"
            twin = "yes" if model.has_twin else ""
            probes = ", ".join(model.probes)
            lines.append(_row([file, model.summary, count, model.tier, probes, twin, model.expected_breaks]))
    return "\n".join(lines) + "\n"
