"""Two clones of a repository, at different paths, have equal identities of cells, and carry over from one another."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.attempts.carrying import tables_of
from harness.matrix.surroundings import inventory_of
from harness.tables.reading import read_table
from tests.attempts.worlds import World, both, make_world, quiet_night, replace_world, run_now


class Clone(World):
    """A world whose models, plugins and environment lie in the repository, as they do in one of a user's own."""

    @property
    def root(self) -> Path:
        return self.folder


def clone_of(world: World, folder: Path) -> World:
    """A copy elsewhere, where what was installed editably was installed anew."""
    shutil.copytree(world.folder, folder, symlinks=True)
    for path in folder.glob("env/lib/python*/site-packages/**/*"):
        if path.is_file() and path.suffix in (".json", ".pth", ".py"):
            path.write_text(path.read_text(encoding="utf-8").replace(str(world.folder), str(folder)), encoding="utf-8")

    def there(paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(path.replace(str(world.folder), str(folder)) for path in paths)

    plan = replace(world.plan, models=there(world.plan.models), plugins=there(world.plan.plugins))
    prepared = replace(world.prepared, python=folder / "env" / "bin" / "python", folder=folder)
    return Clone(**{**vars(world), "folder": folder, "plan": plan, "prepared": prepared})


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, World]:
    """Two of them; the first has a table."""
    folder = tmp_path_factory.mktemp("one") / "repository"
    made = make_world(folder, Clone)
    return made, clone_of(made, tmp_path_factory.mktemp("another") / "clone")


def test_cells_are_carried_over_from_the_table_of_another_clone(clones: tuple[World, World]) -> None:
    one, other = clones
    before = read_table(tables_of([one.root / "results"], "small")[0])
    attempt, _ = other.begun("now", quiet_night(other.plan))
    made = other.settled(attempt, "2026-02-01T12:00:00Z")
    assert made.run.carried == len(made.records)
    assert [each.identity for each in made.records] == [each.identity for each in before.records]
    assert None not in {each.identity for each in made.records}
    assert made.ingredients == before.ingredients


def test_a_model_that_names_the_folder_of_tables_is_carried_over(tmp_path: Path) -> None:
    """Each run writes another table there."""
    folder = tmp_path / "repository"
    made = make_world(folder, Clone)
    with (folder / "good.py").open("a", encoding="utf-8") as file:
        file.write("TABLES = 'results'\n")
    made.seen("2026-01-31T13:00:00Z", both(made.plan))
    made.seen("2026-01-31T14:00:00Z", both(made.plan))
    assert run_now(made) == set()


def test_an_environment_that_the_harness_did_not_install_is_made_of_the_same_in_each(
    clones: tuple[World, World], tmp_path: Path
) -> None:
    made = []
    for number, clone in enumerate(clones):
        (clone.folder / "loose").mkdir()
        (clone.folder / "loose" / "own.py").write_text("OWN = 1\n", encoding="utf-8")
        (clone.site / "zz.pth").write_text("import sys; sys.path.append(sys.prefix + '/../loose')\n", encoding="utf-8")
        kept = tmp_path / f"{number}.json"
        made.append(inventory_of(clone.prepared.python, pinned=False, kept=kept, root=clone.root))
    assert made[0] == made[1]
    assert {"path env:lib/python", "path root:loose"} <= {name.partition("3.")[0] for name in made[0]["packages"]}
    (clones[1].folder / "loose" / "own.py").write_text("OWN = 2\n", encoding="utf-8")
    again = inventory_of(clones[1].prepared.python, pinned=False, kept=tmp_path / "1.json", root=clones[1].root)
    assert again["packages"]["path root:loose"] != made[0]["packages"]["path root:loose"]


def test_a_change_in_one_clone_has_its_cells_run(clones: tuple[World, World]) -> None:
    (clones[1].folder / "edited" / "edited.py").write_text("EDITED = 2\n", encoding="utf-8")
    assert run_now(replace_world(clones[1])) == {"native", "recite"}
