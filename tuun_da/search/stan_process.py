"""Stan from a process that must not be disturbed: a worker process for each task, and where the compiled program lies.

Nothing of Stan runs in this process. Each task starts stan_worker.py anew: that costs about a second, and leaves
nothing behind that could be in the way of a notebook's event loop, of what NNI reads from its tuner, or of a fork.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuun_da.errors import ConfigError, TuunDaError
from tuun_da.search.domains import Floats

PROGRAM = Path(__file__).with_name("gp.stan")
WORKER = "tuun_da.search.stan_worker"
PACKAGES = Path(__file__).parents[2]  # where tuun_da is
COMPILE_SECONDS = 3600.0  # a minute on a core of its own
TAIL = 6  # lines of the worker's output that an error shows
REMEDY = "the surrogate `gp` is the same model and needs neither pystan nor a compiler"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chains:
    """What NUTS drew: hyperparameters (chains, n, p), log densities (chains, n) up to a constant, divergences."""

    draws: Floats
    log_density: Floats
    divergences: int


def check_stan() -> None:
    """Raises ConfigError, at once and without compiling, if pystan, or a compiler that is still needed, is missing."""
    try:
        path = compiled_path()
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(f"surrogate stan_gp needs the package pystan, which is not installed; {REMEDY}") from error
    if path.exists():
        return
    if _compiler() is None:
        raise ConfigError(
            f"surrogate stan_gp needs a C++ compiler (g++, clang++ or the one that CXX names) to compile "
            f"{PROGRAM.name} once, and none was found; {REMEDY}"
        )
    existing = next(folder for folder in path.parents if folder.exists())
    if not os.access(existing, os.W_OK):
        raise ConfigError(
            f"surrogate stan_gp stores its compiled program in {path.parent}, which cannot be written; set "
            f"XDG_CACHE_HOME to a folder that can be; {REMEDY}"
        )


def compiled_path() -> Path:
    """Where the compiled program of this gp.stan, for this Python and this pystan, is or will be.

    Raises importlib.metadata.PackageNotFoundError without pystan.
    """
    stan = importlib.util.find_spec("stan")
    identity = [
        PROGRAM.read_text(),
        importlib.metadata.version("pystan"),
        importlib.metadata.version("httpstan"),
        str(stan and stan.origin),  # its libraries are linked by their place
        sys.version,
        sysconfig.get_platform(),
    ]
    key = hashlib.blake2b("\0".join(identity).encode(), digest_size=10).hexdigest()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).absolute() / "tuun_da" / f"gp-{key}.so"


def compile_program(seconds: float = COMPILE_SECONDS) -> None:
    """Compile gp.stan if that was not done before on this machine. Raises ConfigError, or TuunDaError as ``sample``."""
    check_stan()
    path = compiled_path()
    if path.exists():
        return
    _logger.warning("compiling %s, which takes a minute or a few and is done once: %s", PROGRAM.name, path)
    try:
        with _worked({"task": "compile"}, seconds, "compiling gp.stan"):
            pass
    except TuunDaError as error:
        raise TuunDaError(f"{error}\n{REMEDY}") from None


def sample(
    data: Mapping[str, Any], init: Sequence[Floats], seed: int, settings: Mapping[str, float], seconds: float
) -> Chains:
    """Run a chain from each of ``init`` (p,), in deviations from the prior; compile first if need be.

    ``settings`` are those of stan::services::sample::hmc_nuts_diag_e_adapt. Raises ConfigError if there is no pystan or
    no compiler, TuunDaError if the worker fails or takes longer than ``seconds``.
    """
    compile_program()
    request = {
        "task": "sample",
        "data": {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in data.items()},
        "init": [{"z": start.tolist()} for start in init],
        "seed": seed,
        "settings": dict(settings),
    }
    with (
        _worked(request, seconds, "sampling by NUTS") as folder,
        np.load(folder / "draws.npz", allow_pickle=False) as found,
    ):
        return Chains(found["draws"], found["log_density"], int(found["divergent"].sum()))


@contextmanager
def _worked(request: dict[str, Any], seconds: float, what: str) -> Iterator[Path]:
    """The folder in which a worker has done ``request``. Raises TuunDaError; no process is left in any case."""
    # pystan's sockets lie in here, and the path of a socket must be shorter than 108 characters
    with tempfile.TemporaryDirectory(prefix="tuun_da_") as name:
        folder = Path(name)
        request = {**request, "program": str(PROGRAM), "compiled": str(compiled_path()), "parent": os.getpid()}
        (folder / "request.json").write_text(json.dumps(request))
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", WORKER, name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=name,
                env=_environment(name),
                start_new_session=True,  # a group to kill, and no Ctrl-C that is not ours
            )
            try:
                code: int | None = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code != 0:
            lines = (folder / "output").read_text(errors="replace").strip().splitlines()[-TAIL:]
            end = f"did not end within {seconds:g} s" if code is None else f"ended with exit code {code}"
            raise TuunDaError(
                f"surrogate stan_gp: the worker process {end} while {what}; its last words:\n" + "\n".join(lines)
            )
        yield folder


def _environment(folder: str) -> dict[str, str]:
    """The worker's: it finds the packages that this process finds, and its temporary files and caches are in folder."""
    places = [os.path.abspath(place) for place in (str(PACKAGES), *sys.path) if place]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(places)),
        "XDG_CACHE_HOME": folder,
        "TMPDIR": folder,
        # the last word in the compiler's command: a debugger's symbols double the size, and take a quarter of the time
        "CPPFLAGS": f"{os.environ.get('CPPFLAGS', '')} -g0",
    }
    compiler = _compiler()
    if compiler is not None:
        environment["CXX"] = compiler
    return environment


def _compiler() -> str | None:
    """The command of a C++ compiler: what CXX says, then the one that Python was built with, then the usual ones."""
    for command in (os.environ.get("CXX"), sysconfig.get_config_var("CXX"), "g++", "clang++", "c++"):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]) is not None:
            return command
    return None
