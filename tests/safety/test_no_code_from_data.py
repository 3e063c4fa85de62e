"""No module runs what it reads: the package is parsed for calls that could, and each that is there has a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuun_da.engines.yaml_file import parse_yaml
from tuun_da.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
MODULES = sorted([*(REPOSITORY / "tuun_da").rglob("*.py"), *(REPOSITORY / "trials").glob("*.py")])
MODULES = [path for path in MODULES if "starter/trials" not in path.as_posix()]

FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp",
                   "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "subprocess.getoutput",
                   "subprocess.getstatusoutput",
                   "numpy.loadtxt", "np.loadtxt", "pd.read_pickle", "runpy.run_path", "runpy.run_module"}  # fmt: skip
FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code", "codeop", "runpy",
                     "xmlrpc", "ctypes", "pty", "telnetlib"}  # fmt: skip

ALLOWED = {
    ("tuun_da/training/models/weights.py", "import pickle"): "its UnpicklingError, which torch.load raises",
    ("tuun_da/training/models/pretrained.py", "import pickle"): "its UnpicklingError, which torch.load raises",
    ("tuun_da/engines/ray_pool.py", "import pickle"): "tasks, from the driver to its own workers, as Ray itself does",
    ("tuun_da/training/datasets.py", "np.loadtxt"): "the digits in scikit-learn's own folder, text of numbers",
    ("tuun_da/__init__.py", "importlib.import_module"): "the public names, from a table in the module",
    ("tuun_da/training/models/names.py", "importlib.import_module"): "a model that the user names as module:function",
    ("tuun_da/api/search_data.py", "importlib.import_module"): "the module of a function that the caller handed over",
}  # fmt: skip
"""Where a call or import stands that could run something, and why it is no danger."""
LISTED = ("importlib.import_module", "os.exec", "os.spawn", "os.posix_spawn")


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of an expression; empty where it is no plain name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> object:
    """The constant value of a keyword; None where it is absent or no constant."""
    return next((k.value.value for k in call.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None)


def suspects(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of every call and import in ``tree`` that could run what it is given."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (
                (node.lineno, f"import {a.name}") for a in node.names if a.name.split(".")[0] in FORBIDDEN_IMPORTS
            )
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            top = node.module.split(".")[0]
            if top in FORBIDDEN_IMPORTS:
                yield node.lineno, f"import {node.module}"
            if top in ("os", "tempfile", "yaml", "importlib", "torch"):
                for alias in node.names:
                    if f"{node.module}.{alias.name}" in FORBIDDEN_CALLS or alias.name in ("load", "import_module"):
                        yield node.lineno, f"from {node.module} import {alias.name}"
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in FORBIDDEN_CALLS or name.startswith(LISTED):
                yield node.lineno, name
            if keyword(node, "shell") not in (None, False):
                yield node.lineno, "shell=True"
            if name.endswith("torch.load") and keyword(node, "weights_only") is not True:
                yield node.lineno, "torch.load without weights_only=True"
            if name == "yaml.load" or (
                name.startswith("yaml.") and name.endswith("Loader") and name != "yaml.SafeLoader"
            ):
                yield node.lineno, name
            if name in ("np.load", "numpy.load", "read_array") and keyword(node, "allow_pickle") is not False:
                yield node.lineno, f"{name} without allow_pickle=False"
            if keyword(node, "allow_pickle") is True or keyword(node, "weights_only") is False:
                yield node.lineno, "pickles allowed"
            if name == "Image.open" and not any(k.arg == "formats" for k in node.keywords):
                yield node.lineno, "Image.open without formats"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_that_is_read_is_run(path):
    found = [
        (line, what) for line, what in suspects(ast.parse(path.read_text())) if (name_of(path), what) not in ALLOWED
    ]
    assert found == []


def test_every_allowed_place_is_used():
    found = {(name_of(path), what) for path in MODULES for _, what in suspects(ast.parse(path.read_text()))}
    assert set(ALLOWED) <= found


def test_yaml_makes_no_objects():
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        parse_yaml("!!python/object/apply:os.getcwd []", "f")


@pytest.mark.parametrize(
    "code",
    [
        "eval(x)", "exec(x)", "compile(x, '', 'exec')", "import pickle", "from pickle import loads", "import marshal",
        "torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)", "np.load(f, allow_pickle=True)",
        "yaml.load(f, Loader)", "yaml.load(f, Loader=yaml.Loader)", "yaml.Loader(f)", "yaml.FullLoader(f)",
        "subprocess.run(x, shell=True)", "os.system(x)",
        "os.execv(x, y)", "tempfile.mktemp()", "importlib.import_module(x)", "Image.open(f)",
        "from torch import load", "from os import system", "from importlib import import_module",
        "run(x, shell=1)",
    ],
)  # fmt: skip
def test_each_of_these_would_be_found(code):
    assert list(suspects(ast.parse(code)))


@pytest.mark.parametrize("code", ["torch.load(f, weights_only=True)", "np.load(f, allow_pickle=False)", "model.eval()"])
def test_none_of_these_is_found(code):
    assert not list(suspects(ast.parse(code)))
