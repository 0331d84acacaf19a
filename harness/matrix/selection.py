"""What of the zoo to run, and in which environments: one plan for a combination itself, one for each extension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.bench import gpu
from harness.bench.errors import UsageError
from harness.bench.plan import Cell, Keeping, Plan, Policy, expand, split, split_models
from harness.bench.registry import Registry, discover
from harness.matrix import combination as combinations
from harness.matrix.locks import lock_path


@dataclass(frozen=True)
class Selection:
    """Models, strategies and how to run them.

    Cells that need an extension are run where `extensions` asks for all of them, or where `strategies` (or, for a
    model that needs one itself, `models`) names them. `paths` are folders that a user's own models import from;
    `series` names the series of these models, and is empty where there are none. With `launches_by_default` nobody said
    how many launches are timed: cells of extensions beyond the quick tier, where they are slow, then have one.
    """

    tier: str
    device: str
    models: Sequence[str] = ()
    strategies: Sequence[str] = ()
    plugins: Sequence[Path] = ()
    paths: Sequence[Path] = ()
    policy: Policy = field(default_factory=Policy)
    launches_by_default: bool = True
    keeping: Keeping = field(default_factory=Keeping)
    extensions: bool = False
    series: str = ""
    path_names: tuple[str, ...] = ()

    @property
    def narrowed(self) -> bool:
        """Whether this is less or other than the whole tier, or than all of a series; such a run replaces no table."""
        return bool(self.strategies or self.plugins or (self.models and not self.series))

    def plans(self, name: str, root: Path | None) -> list[Plan]:
        """The plans for one combination, its own first; `root` is None for an ambient environment, which has one."""
        files, globs = split_models(self.models)
        plugins = [folder.resolve() for folder in self.plugins]
        paths = [folder.resolve() for folder in self.paths]
        with_zoo = bool(globs or not files)
        registry = discover(models=files, paths=paths, plugins=plugins, with_zoo=with_zoo, strict=True)
        device = gpu.resolve(self.device)
        # Requirements that were given have no extensions: whatever they bring is in their own environment.
        pinned = root is not None and not combinations.is_given(root, name)
        known = combinations.extensions(root, name) if root else []
        cells = expand(
            registry,
            combination=name,
            device=device,
            tier=self.tier,
            models=globs,
            strategies=self.strategies,
            extensions=known,
        )
        wanted = [cell for cell in cells if self._wanted(cell, registry)]
        if not wanted:
            msg = "all of these cells need an extension. Add --extensions."
            raise UsageError(msg)
        groups = dict.fromkeys(sorted(cell.extension for cell in wanted)) if pinned else {"": None}
        return [
            Plan(
                combination=name,
                extension=extension,
                device=device,
                tier=self.tier,
                cells=tuple(cell for cell in wanted if not pinned or cell.extension == extension),
                models=tuple(map(str, files)),
                plugins=tuple(map(str, plugins)),
                paths=tuple(map(str, paths)),
                zoo=with_zoo,
                lock=self._lock(root, combinations.extended(name, extension)),
                policy=self._policy(extension),
                keeping=self.keeping,
                selected=self.narrowed,
                series=self.series,
                path_names=self.path_names,
            )
            for extension in groups
        ]

    def _policy(self, extension: str) -> Policy:
        seldom = self.launches_by_default and extension and self.tier != "quick"
        return replace(self.policy, launches=min(1, self.policy.launches)) if seldom else self.policy

    def _wanted(self, cell: Cell, registry: Registry) -> bool:
        if not cell.extension or self.extensions:
            return True
        by_strategy = bool(registry.strategies[split(cell.strategy)[0]].declared.extension)
        return bool(self.strategies if by_strategy else self.models)

    @staticmethod
    def _lock(root: Path | None, name: str) -> str:
        path = lock_path(root, name) if root else None
        return str(path) if path and path.exists() else ""
