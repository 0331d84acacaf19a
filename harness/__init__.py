"""Which of my models break when I move these pins, where, why, and may I merge?"""

from pathlib import Path

__version__ = "0.1.0"

# In a wheel, what runs inside pinned environments lies apart: they must see it, and nothing else that is installed
# beside the harness. In a checkout, and in that folder itself, there is no such folder.
__path__ += [str(path) for path in [Path(__file__).with_name("inside") / "harness"] if path.is_dir()]
