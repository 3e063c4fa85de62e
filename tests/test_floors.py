"""Who may import whom: the floors of the house, and the one door of each third party.

The rule, as the code has it:

    8   __main__.py
    7   cli.py
    6   commands/
    5   api/                           trials/train.py
    4   engines/        report/
    3                   training/
    2   search/         augment/      sisters: neither imports the other
    1   operations.py   known_policies.py   policy_format.py   probe_format.py   space_file.py   data_files.py
        plain_text.py   errors.py
        (standard library only)

A module imports from lower floors or from its own folder. What the tuner's process loads (everything that
``engines.nni_tuner`` imports) is free of torch.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "tuun_da"
MODULES = sorted(
    [path for path in PACKAGE.rglob("*.py") if "starter/trials" not in path.as_posix()]
    + list((REPOSITORY / "trials").glob("*.py"))
)

FLOORS = {
    "tuun_da/errors.py": 1,
    "tuun_da/operations.py": 1,
    "tuun_da/known_policies.py": 1,
    "tuun_da/data_files.py": 1,
    "tuun_da/policy_format.py": 1,
    "tuun_da/probe_format.py": 1,
    "tuun_da/space_file.py": 1,
    "tuun_da/plain_text.py": 1,
    "tuun_da/search/": 2,
    "tuun_da/augment/": 2,
    "tuun_da/training/": 3,
    "tuun_da/engines/": 4,
    "tuun_da/report/": 4,
    "tuun_da/api/": 5,
    "tuun_da/commands/": 6,
    "tuun_da/cli.py": 7,
    "tuun_da/__main__.py": 8,
    "tuun_da/starter/": 5,
    "trials/": 5,
    "tuun_da/__init__.py": 0,  # of the names that load on first use; everyone may read its version
}

DOORS = {
    "numpy": (
        "tuun_da/search/",
        "tuun_da/training/",
        "tuun_da/engines/study.py",  # a generator to fall back on
        "tuun_da/engines/bootstrap.py",
    ),
    "scipy": ("tuun_da/search/", "tuun_da/engines/bootstrap.py"),  # bootstrap: quantiles, sparse counts
    "sklearn": ("tuun_da/search/forest.py", "tuun_da/training/datasets.py"),  # datasets: the digits
    "torch": (
        "tuun_da/augment/",
        "tuun_da/training/",
        "tuun_da/engines/retraining.py",
        "tuun_da/report/contact_sheet.py",
        "tuun_da/report/policy_pictures.py",
    ),
    "torchvision": ("tuun_da/training/",),
    "PIL": ("tuun_da/training/",),
    "stan": ("tuun_da/search/stan_worker.py",),
    "httpstan": ("tuun_da/search/stan_worker.py",),
    "optuna": ("tuun_da/engines/optuna_",),
    "ray": ("tuun_da/engines/ray_",),
    "nni": ("tuun_da/engines/nni_tuner.py", "tuun_da/engines/nni_experiment.py", "trials/train.py"),
    "psutil": (
        "tuun_da/engines/nni_tuner.py",
        "tuun_da/engines/nni_experiment.py",
        "tuun_da/engines/process_storm.py",
    ),
    "matplotlib": ("tuun_da/report/",),
    "pandas": ("tuun_da/api/",),  # tables of trials; nni brings it
    "yaml": ("tuun_da/engines/yaml_file.py",),
}


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def floor_of(name: str) -> tuple[str, int]:
    """The place in the house, and its floor."""
    [place] = [place for place in FLOORS if name == place or (place.endswith("/") and name.startswith(place))]
    return place, FLOORS[place]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every imported module, inside of functions too, and whether it only serves the types."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things come from"
            assert node.module is not None
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                yield (dotted if file_of(dotted) else node.module), id(node) in for_types


def file_of(dotted: str) -> Path | None:
    """The file of a module of ours."""
    base = REPOSITORY / dotted.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file() and (dotted == "tuun_da" or dotted.startswith("tuun_da.")):
            return path
    return None


def test_there_is_something_to_hold_to_the_table():
    names = {name_of(path) for path in MODULES}
    assert {"tuun_da/cli.py", "tuun_da/engines/study.py", "trials/train.py", "tuun_da/search/optimizer.py"} <= names


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_from_lower_floors_or_its_own_folder(path):
    place, floor = floor_of(name_of(path))
    for module, for_types in imports(path):
        if module.partition(".")[0] != "tuun_da":
            continue
        file = file_of(module)
        assert file is not None, f"{name_of(path)} imports {module}, which is not there"
        other_place, other_floor = floor_of(name_of(file))
        if place == "tuun_da/__init__.py":
            assert for_types, f"importing tuun_da would load {module}"
        else:
            own_folder = place == other_place or (floor == 1 and other_floor == 1)
            from_above = place == "tuun_da/commands/" and other_place == "tuun_da/starter/"
            assert other_floor < floor or own_folder or from_above, f"{name_of(path)} must not import {module}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_third_party_enters_at_its_door(path):
    for module, _ in imports(path):
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top == "tuun_da":
            continue
        assert top in DOORS, f"{name_of(path)} imports {top}, for which there is no door"
        assert any(name_of(path).startswith(door) for door in DOORS[top]), f"{name_of(path)} must not import {top}"


@pytest.mark.parametrize(("name", "door"), [(name, door) for name, doors in DOORS.items() for door in doors])
def test_every_door_is_used(name, door):
    """A door that nothing enters by any more is closed."""
    users = [path for path in MODULES if name_of(path).startswith(door)]
    assert any(module.partition(".")[0] == name for path in users for module, _ in imports(path))


BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Block())
"""


def loaded_by(statement: str, *blocked: str) -> set[str]:
    """Top-level modules in a fresh Python after ``statement``; importing one that is ``blocked`` fails there."""
    script = BLOCK.format(blocked=blocked) + f"{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("module", ["tuun_da", "tuun_da.cli"])
def test_it_loads_nothing_slow(module):
    slow = {"torch", "torchvision", "matplotlib", "nni", "stan", "numpy", "scipy", "sklearn", "PIL"}
    assert loaded_by(f"import {module}").isdisjoint(slow)


def test_the_tuner_loads_no_torch():
    loaded = loaded_by("import tuun_da.engines.nni_tuner")
    assert {"nni", "numpy"} <= loaded
    assert loaded.isdisjoint({"torch", "torchvision", "PIL", "stan"})


def test_the_tuner_works_where_torch_is_not_installed():
    loaded_by(
        "from tuun_da.engines.nni_tuner import TuunTuner\n"
        "tuner = TuunTuner(n_initial=1, seed=0)\n"
        "tuner.update_search_space({'x': {'_type': 'uniform', '_value': [0, 1]}})\n"
        "for number in range(3):\n"
        "    point = tuner.generate_parameters(number)\n"
        "    tuner.receive_trial_result(number, point, point['x'])\n"
        "assert len(tuner._study.journal.content.trials) == 3",
        "torch", "torchvision", "stan", "PIL",
    )  # fmt: skip


@pytest.mark.parametrize("folder", ["search", "augment", "training"])
def test_the_lower_floors_do_without_nni_and_stan(folder):
    modules = [
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in (PACKAGE / folder).rglob("*.py")
    ]
    blocked = ("nni", "stan", "torch", "torchvision", "PIL") if folder == "search" else ("nni", "stan", "scipy")
    if folder == "training":
        blocked = ("nni", "stan")  # scikit-learn, which has the digits, brings scipy
    loaded = loaded_by("\n".join(f"import {module}" for module in modules), *blocked)
    assert "tuun_da" in loaded


def test_operations_need_the_standard_library_only():
    loaded = loaded_by("import tuun_da.space_file, tuun_da.errors, tuun_da.policy_format, tuun_da.probe_format")
    assert loaded.isdisjoint({"numpy", "torch", "yaml", "nni", "scipy"})


def test_the_public_names_load_on_first_use():
    assert "torch" not in loaded_by("from tuun_da import Operation, SubPolicy, TuunDaError, __version__")
    assert "torch" in loaded_by("from tuun_da import Policy")
