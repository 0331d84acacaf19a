"""What a wheel has that a checkout has elsewhere: read by hatchling when it builds one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INSIDE = "harness/inside"
"""The folder for what runs inside pinned environments; harness/__init__.py finds it there."""

PARTS = ("harness/bench", "harness/steps", "harness/strategies", "harness/runtimes", "model_zoo", "matrices")


class InsideHook(BuildHookInterface):
    """Puts apart what pinned environments see, so that they see nothing else of the harness's own environment."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Tell where the parts go. An editable installation is the checkout itself, and has no such folder."""
        self._made = Path(tempfile.mkdtemp(prefix="harness-wheel-"))
        if version != "standard":
            return
        package = self._made / "__init__.py"
        summary = '"""The harness, as far as it runs inside pinned environments."""'
        package.write_text(f'{summary}\n\n__version__ = "{self.metadata.version}"\n', encoding="utf-8")
        build_data["force_include"] |= {part: f"{INSIDE}/{part}" for part in PARTS}
        build_data["force_include"][str(package)] = f"{INSIDE}/harness/__init__.py"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made."""
        del version, build_data, artifact_path
        shutil.rmtree(self._made)
