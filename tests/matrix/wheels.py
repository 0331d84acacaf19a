"""Wheels of small packages, made by hand, so that requirements can be resolved without any index."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path


def wheel(folder: Path, name: str, version: str, *requires: str, modules: Sequence[str] = ()) -> Path:
    """A wheel for any Python that has an empty module of its name, and those of `modules`."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = name.replace("-", "_")
    info = f"{plain}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    files = {f"{module}/__init__.py": "" for module in (plain, *modules)}
    files[f"{info}/METADATA"] = "\n".join([*metadata, ""])
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    path = folder / f"{plain}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            # The same bits each time, so that hashes are equal.
            archive.writestr(zipfile.ZipInfo(file, (2020, 1, 1, 0, 0, 0)), text)
    return path


def project(folder: Path, name: str, *requires: str, code: str = "VALUE = 1\n") -> Path:
    """A folder that builds a package with one module of its name; nothing but setuptools is needed for it."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = ", ".join(f'"{each}"' for each in requires)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "0.1"\ndependencies = [{listed}]\n'
        f'[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[tool.setuptools]\npackages = ["{name}"]\n',
        encoding="utf-8",
    )
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "__init__.py").write_text(code, encoding="utf-8")
    return folder


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
