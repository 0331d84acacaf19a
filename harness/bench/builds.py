"""The models of a plan, each built once: inputs, native outputs, and what a table keeps of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bench import reads
from harness.bench.children import Children
from harness.bench.disk import remove_tree
from harness.bench.failure import Failure
from harness.bench.plan import Plan, file_stem_of, imports_of
from harness.bench.reads import Reads
from harness.bench.registry import Registry
from harness.bench.requests import BUILT_FILE, BuildRequest
from harness.bench.shared_builds import SharedBuilds
from harness.bench.tensors import file_digest


@dataclass(frozen=True)
class Built:
    """A model that was built, or why it could not be; `reads` are the files that it is made of, with their contents."""

    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    reads: Reads = field(default_factory=dict)

    def edited(self) -> list[str]:
        """The files of the build that are not what was written: inputs and native outputs are nobody's to change."""
        return [name for name, digest in self.facts.get("digests", {}).items() if _digest(self.folder / name) != digest]


def build_folder(folder: Path, model: str) -> Path:
    """What the build of a model leaves, below the `folder` of all builds."""
    return folder / file_stem_of(model)


def read_built(folder: Path, model: str) -> Built:
    """A model that was built before, below the `folder` of all builds. Raises `OSError` where it was not."""
    own = build_folder(folder, model)
    return Built(own, json.loads((own / BUILT_FILE).read_text(encoding="utf-8")))


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:
        return ""


class Builds:
    """Builds each model of a plan where it is first asked for, and again where somebody changed what was built.

    What builds leave lies in folders below `folder`. What is `shared` another bench need not build.
    """

    def __init__(
        self, plan: Plan, registry: Registry, children: Children, folder: Path, shared: SharedBuilds | None = None
    ) -> None:
        self._plan = plan
        self._registry = registry
        self._children = children
        self._folder = folder
        self._shared = shared
        self._models = tuple(dict.fromkeys(cell.model for cell in plan.cells))
        self._built: dict[str, Built] = {}
        self._new: set[str] = set()

    def warm_imports(self, strategy: str | None) -> tuple[str, ...]:
        """What the warm process for cells of `strategy` imports: for every planned model, so that one process does."""
        return imports_of(self._registry, strategy, self._models)

    def built(self, model: str, warm_imports: tuple[str, ...] | None = None) -> Built:
        """The model's inputs and native outputs."""
        made = self._built.get(model)
        if made is not None and not made.edited():
            return made
        with self._shared.alone(model) if self._shared else contextlib.nullcontext():
            self._built[model] = self._taken(model) or self._build(model, warm_imports)
        self._new.add(model)
        return self._built[model]

    def _folder_of(self, model: str) -> Path:
        folder = build_folder(self._folder, model)
        remove_tree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _taken(self, model: str) -> Built | None:
        """What another bench has built, unless somebody changed it, or what it was made of."""
        if self._shared is None:
            return None
        folder = self._folder_of(model)
        told = self._shared.take(model, folder)
        if told is None:
            return None
        if any(reads.content_of(Path(path)) != content for path, content in told["reads"].items()):
            return None
        try:
            facts = json.loads((folder / BUILT_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        built = Built(folder, facts, seconds=told["seconds"], reads=told["reads"])
        return None if built.edited() else built

    def _build(self, model: str, warm_imports: tuple[str, ...] | None) -> Built:
        folder = self._folder_of(model)
        request = BuildRequest(
            folder=str(folder),
            imports=imports_of(self._registry, None, [model]),
            threads=self._plan.policy.threads,
            paths=self._plan.paths,
            model=model,
            model_file=str(self._registry.models[model].path),
        )
        done = self._children.work(request, warm_imports or self.warm_imports(None))
        facts = {} if done.failure else json.loads((folder / BUILT_FILE).read_text(encoding="utf-8"))
        read = {**reads.reads_in(folder), **facts.get("modules", {})}
        built = Built(folder, facts, done.failure, done.trail.seconds(), read)
        if self._shared is not None and built.failure:
            self._shared.fail(model)
        elif self._shared is not None:
            self._shared.give(model, folder, {"seconds": built.seconds, "reads": built.reads})
        return built

    def new(self, model: str) -> tuple[dict[str, Any], dict[str, str]] | None:
        """What a table keeps of a model's native outputs, and the modules that its build imported: once a build."""
        built = self._built.get(model)
        if built is None or not built.facts or model not in self._new:
            return None
        self._new.discard(model)
        facts = built.facts
        native = {name: facts[name] for name in ("weights_digest", "parameters", "train_mode", "tolerance")}
        native |= {"code": facts["code"]} if self._registry.models[model].own else {}
        return {**native, "paths": facts["paths"][0], "outputs": facts["native"]}, dict(facts["modules"])
