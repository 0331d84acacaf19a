"""What a cell left, kept: a folder as the cell's own was, so that a path below ``<scratch>`` exists below it.

::

    artifact.json       what the conversion came to (`KeptArtifact`); absent where it came to none
    traceback.txt       the whole of it, where something was raised
    convert/ serve/     the folders of the cell's processes: artifacts, ``log.txt``, ``stages.jsonl``, outputs
    time-0/ time-1/     those of its timed launches, the same

Of what is larger than the plan's limit only logs and stages are kept. The content of an artifact has a digest, since
another environment's runtime may serve it later (`harness.bench.plan.Plan.artifacts`).
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.bench import environment
from harness.bench.disk import remove_tree, space_at
from harness.bench.errors import InfrastructureError
from harness.bench.logs import LOG_FILE
from harness.bench.progress import RESERVE_FILE, RESULT_FILE, STAGES_FILE
from harness.bench.record import write_json
from harness.bench.requests import REQUEST_FILE
from harness.bench.tensors import file_digest
from harness.bench.waiting import WAITING_FILE, WAITING_SHARE

ARTIFACT_FILE = "artifact.json"
TRACEBACK_FILE = "traceback.txt"
MIB = 2**20

_SMALL = frozenset({LOG_FILE, STAGES_FILE, RESULT_FILE, REQUEST_FILE})
"""What is kept of a cell that left more than the limit."""


class ArtifactChangedError(InfrastructureError):
    """A kept artifact is not there, or not what was kept."""

    remedy = "Convert it anew."


@dataclass(frozen=True, kw_only=True)
class KeptArtifact:
    """What a conversion came to: `artifact.json`.

    `path` is relative to the kept folder, `unit` the folder or file that holds the artifact with every file beside it,
    and `digest` is of its content. `facts` are columns of the record. `input_names` are the names under which the
    artifact has the model's inputs, in forward's order. `packages` are the versions that converted it.
    """

    kind: str
    path: str
    unit: str
    digest: str
    artifact_bytes: int
    facts: Mapping[str, int]
    input_names: tuple[str, ...]
    weights_digest: str
    model: str
    strategy: str
    python: str
    packages: Mapping[str, str]

    def is_of(self, built: Mapping[str, Any]) -> bool:
        """Whether it was made of the model whose build's facts these are: equal weights, and as many inputs."""
        return (self.weights_digest, len(self.input_names)) == (built["weights_digest"], len(built["inputs"]))

    def origin(self) -> dict[str, Any]:
        """What the details of a record say of an artifact that was converted elsewhere."""
        return {"digest": self.digest, "python": self.python, "packages": dict(self.packages)}


def describe_artifact(
    folder: Path, result: Mapping[str, Any], built: Mapping[str, Any], *, model: str, strategy: str
) -> KeptArtifact | None:
    """What the `result` of a converting process says of the artifact in a cell's `folder`, with its content's digest.

    `built` are the facts of the model's build. None where the artifact does not lie in the folder, or holds a link.
    """
    inside = Path(os.path.relpath(os.path.normpath(result["path"]), folder))
    if ".." in inside.parts:
        return None
    unit = Path(*inside.parts[:2])
    digest = content_digest(folder / unit)
    if not digest:
        return None
    return KeptArtifact(
        kind=result["kind"],
        path=inside.as_posix(),
        unit=unit.as_posix(),
        digest=digest,
        artifact_bytes=result["artifact_bytes"],
        facts=dict(result["facts"]),
        input_names=tuple(built["inputs"]),
        weights_digest=built["weights_digest"],
        model=model,
        strategy=strategy,
        python=platform.python_version(),
        packages=_installed(),
    )


@functools.cache
def _installed() -> dict[str, str]:
    return environment.installed()


def content_digest(unit: Path) -> str:
    """A digest of a file, or of all files of a folder and their names; empty where that holds anything else."""
    digest = hashlib.sha256()
    for path in sorted(_below(unit)) if unit.is_dir() else [unit]:
        if path.is_symlink() or not path.is_file():
            return ""
        digest.update(f"{path.relative_to(unit).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def _below(folder: Path) -> Iterator[Path]:
    """Everything below a folder that is none itself; a link to one is not followed."""
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in files)
        yield from (Path(parent, name) for name in folders if Path(parent, name).is_symlink())


def size_of(folder: Path) -> int:
    """Bytes that a folder takes on disk; what somebody takes away meanwhile may count or not."""
    return sum(_size(path) for path in _below(folder))


def _size(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


def keep(
    folder: Path, target: Path, *, artifact: KeptArtifact | None, traceback: str, limit_mb: int | None
) -> dict[str, Any] | None:
    """Move what a cell left in `folder` to `target`, and say what a record's details tell of it.

    That is `bytes`, and `left_out`, why there are no artifacts, where the cell left more than `limit_mb`; None is no
    limit. Nothing is told where the cell left nothing.
    """
    if not traceback and not any(folder.iterdir()):
        return None
    for path in folder.glob(f"*/{RESERVE_FILE}"):
        path.unlink()
    (folder / WAITING_FILE).unlink(missing_ok=True)  # it waits for nothing any more
    told: dict[str, Any] = {}
    size = size_of(folder)
    if limit_mb is not None and size > limit_mb * MIB:
        told["left_out"] = f"the cell left {size // MIB} MiB, and no more than {limit_mb} MiB of one are kept"
        artifact = None
        _keep_small(folder)
    remove_tree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, target)
    if artifact is not None:
        write_json(target / ARTIFACT_FILE, asdict(artifact))
    if traceback:
        (target / TRACEBACK_FILE).write_text(traceback, encoding="utf-8")
    return {**told, "bytes": size_of(target)}


def hand_over(folder: Path, target: Path, artifact: KeptArtifact) -> None:
    """Move the artifact of a cell's `folder` to the same place below `target`; that it is whole is said last."""
    remove_tree(target)
    place = target / artifact.unit
    place.parent.mkdir(parents=True)
    shutil.move(folder / artifact.unit, place)
    write_json(target / ARTIFACT_FILE, asdict(artifact))


def _keep_small(folder: Path) -> None:
    for part in folder.iterdir():
        if part.is_dir() and not part.is_symlink():
            for path in part.iterdir():
                if path.name not in _SMALL:
                    _remove(path)
        else:
            _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def bound(folder: Path, limit_mb: int) -> list[str]:
    """Remove the oldest of a folder's kept cells until they take no more than `limit_mb`; the names of the removed."""
    cells = sorted(folder.iterdir(), key=_changed_at) if folder.is_dir() else []
    sizes = {path: size_of(path) for path in cells}
    total, removed = sum(sizes.values()), []
    for path, size in sizes.items():
        if total <= limit_mb * MIB:
            break
        remove_tree(path)
        total -= size
        removed.append(path.name)
    return removed


def bound_artifacts(folder: Path, limit_mb: int) -> list[str]:
    """As `bound`, for what is left for others: no more than may wait of the disk, too."""
    share = WAITING_SHARE * (space_at(folder, reserved=False).free + size_of(folder))
    return bound(folder, min(limit_mb, int(share / MIB)))


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # taken away meanwhile
        return 0.0


def read_artifact(folder: Path) -> KeptArtifact:
    """What `artifact.json` of a kept cell says. Raises `ArtifactChangedError` where there is none that can be used."""
    try:
        value = json.loads((folder / ARTIFACT_FILE).read_text(encoding="utf-8"))
        artifact = KeptArtifact(**{**value, "input_names": tuple(value["input_names"])})
        parts = {*Path(artifact.path).parts, *Path(artifact.unit).parts}
    except (OSError, ValueError, TypeError, KeyError) as error:
        msg = f"{folder} holds no artifact that was kept ({type(error).__name__}: {error})."
        raise ArtifactChangedError(msg) from None
    if ".." in parts or Path(artifact.path).is_absolute() or Path(artifact.unit).is_absolute():
        msg = f"{folder / ARTIFACT_FILE} names a place outside of its folder."
        raise ArtifactChangedError(msg)
    return artifact


def given_in(folder: Path | None, slug: str) -> Path | None:
    """Where in `folder` the artifact of a cell is; None where there is none."""
    place = folder / slug if folder is not None else None
    return place if place is not None and (place / ARTIFACT_FILE).is_file() else None


def take_if_of(built: Mapping[str, Any], folder: Path, into: Path) -> tuple[KeptArtifact, Path] | None:
    """As `take_artifact`, where it was made of the model whose build's facts are `built`; else None, and no copy."""
    try:
        if read_artifact(folder).is_of(built):
            return take_artifact(folder, into)
    except ArtifactChangedError:
        for part in into.iterdir():
            _remove(part)
    return None


def take_artifact(folder: Path, into: Path) -> tuple[KeptArtifact, Path]:
    """Copy the artifact of a kept cell to the same place below `into`; what it is, and its path there.

    Raises `ArtifactChangedError` where it is not, byte by byte, what was kept.
    """
    artifact = read_artifact(folder)
    source, target = folder / artifact.unit, into / artifact.unit
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    elif source.is_file():
        shutil.copy2(source, target)
    path = into / artifact.path
    if not path.exists() or content_digest(target) != artifact.digest:
        msg = f"the artifact in {folder} is not what was kept there: its content differs from the digest beside it."
        raise ArtifactChangedError(msg)
    return artifact, path
