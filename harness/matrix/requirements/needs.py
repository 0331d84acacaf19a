"""What the cells need of somebody's requirements: the packages that are tested, and what the models import."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.bench.environment import canonical
from harness.bench.own_code import TESTED, others_of
from harness.bench.plan import Plan

_DISTRIBUTIONS = {
    "attr": ("attrs",),
    "bs4": ("beautifulsoup4",),
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "Crypto": ("pycryptodome",),
    "dateutil": ("python-dateutil",),
    "dotenv": ("python-dotenv",),
    "faiss": ("faiss-cpu", "faiss-gpu"),
    "git": ("gitpython",),
    "google": ("protobuf",),
    "grpc": ("grpcio",),
    "mpl_toolkits": ("matplotlib",),
    "onnxruntime": (
        "onnxruntime",
        "onnxruntime-gpu",
        "onnxruntime-openvino",
        "onnxruntime-training",
        "ort-nightly",
        "ort-nightly-gpu",
    ),
    "onnxsim": ("onnxsim", "onnx-simplifier"),
    "PIL": ("pillow", "pillow-simd"),
    "pkg_resources": ("setuptools",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "tensorflow": (
        "tensorflow",
        "tensorflow-cpu",
        "tensorflow-gpu",
        "tensorflow-intel",
        "tensorflow-rocm",
        "tf-nightly",
        "tf-nightly-cpu",
    ),
    "yaml": ("pyyaml",),
}
"""Modules whose distribution has another name."""

_COMPANIONS = ("numpy", "torchvision", "torchaudio", "tf-keras", "keras", "protobuf")
"""What changes the behaviour of what is tested, though nobody imports it here."""

_BROUGHT = ("nvidia-", "triton")
"""Begins the names of what frameworks bring for GPUs; a compiled file does not tell which extra it was."""


def distributions_of(module: str, names: Collection[str]) -> list[str]:
    """Those of `names`, canonical, that provide the top-level `module`; empty where none is known to."""
    told = [name for name in _DISTRIBUTIONS.get(module, ()) if name in names]
    plain = canonical(module)
    guesses = (plain, f"python-{plain}", f"{plain}-python", f"py{plain}", f"{plain}-cpu", f"{plain}-gpu")
    return told or [name for name in guesses if name in names][:1]


def named(modules: Iterable[str], names: Collection[str]) -> list[str]:
    """Those of `names` that a comparison is about when the cells import `modules`."""
    found = {name for module in modules for name in distributions_of(module, names)}
    return sorted(found | {name for name in names if name in _COMPANIONS})


def needed(modules: Iterable[str], names: Collection[str]) -> list[str]:
    """Those of `names` that the cells need when they import `modules`."""
    return sorted({*named(modules, names), *(name for name in names if name.startswith(_BROUGHT))})


@dataclass(frozen=True)
class ModelFile:
    """A model's file, and the folders beside its own in which modules of the user's lie."""

    path: Path
    roots: tuple[Path, ...] = ()

    def imports(self, *more: Path) -> set[str]:
        """The top-level modules that it needs and that are not the user's own, whose code lies in `more` as well."""
        return others_of(self.path, [*self.roots, *more])


def modules_of(plans: Iterable[Plan]) -> set[str]:
    """The top-level modules that anything of these plans' registries imports, and that the cards of their models name.

    What is not a model's is so for any choice of strategies: the environment does not depend on it.
    """
    found: set[str] = set()
    for plan in plans:
        registry = plan.registry()
        found.update(name for step in registry.steps.values() if step.value for name in step.value.imports)
        found.update(name for runtime in registry.runtimes.values() if runtime.value for name in runtime.value.imports)
        for name in {cell.model for cell in plan.cells}:
            model = registry.models[name]
            found.update(model.value.imports if model.value else ())
    return {module.partition(".")[0] for module in found}


def models_of(plans: Iterable[Plan]) -> tuple[ModelFile, ...]:
    """The files of the models of these plans, each once."""
    return tuple(
        dict.fromkeys(
            ModelFile(registry.models[name].path, tuple(map(Path, plan.paths)))
            for plan in plans
            for registry in [plan.registry()]
            for name in sorted({cell.model for cell in plan.cells})
        )
    )


def provides(project: Path, modules: Iterable[str]) -> bool:
    """Whether the package in the folder `project` has one of these modules; what is tested is never a project's."""
    own = {*modules} - TESTED
    places = (project, project / "src")
    return any(
        (place / f"{module}.py").is_file() or any((place / module).rglob("*.py")) for place in places for module in own
    )
