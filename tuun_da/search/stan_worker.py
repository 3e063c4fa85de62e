"""The worker process of stan_gp: compiles gp.stan, or draws from its posterior. The only file that imports stan.

    python -P -m tuun_da.search.stan_worker FOLDER

FOLDER holds request.json, and gets draws.npz where that was asked for; stan_process.py starts the worker, and makes and
removes the folder.

pystan runs a web server and an event loop of its own, forks, prints, and keeps every fit it ever made in the user's
cache folder; in here that disturbs nobody. Its cache folder is FOLDER (XDG_CACHE_HOME, set by stan_process.py), with a
link to the compiled program. That one is stored when it is complete, in one step, so that neither a compilation that
was killed nor a second one at the same time leaves a broken program behind.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np

ATTEMPTS = 5
WATCH_SECONDS = 0.5

T = TypeVar("T")


def main(folder: Path) -> None:
    """Does what folder/request.json says."""
    request = json.loads((folder / "request.json").read_text())
    threading.Thread(target=_end_with_parent, args=(folder, request["parent"]), daemon=True).start()
    compiled, program = Path(request["compiled"]), Path(request["program"]).read_text()
    if request["task"] == "compile":
        compile_program(program, compiled)
    else:
        draw(program, compiled, request, folder / "draws.npz")


def compile_program(program: str, compiled: Path) -> None:
    """Compile ``program`` to the file ``compiled``, unless another process has done so by the time it is our turn."""
    import httpstan.cache
    import httpstan.compile
    import httpstan.models

    httpstan.compile.subprocess = SimpleNamespace(run=_run_without_limit)
    compiled.parent.mkdir(parents=True, exist_ok=True)
    with _our_turn(compiled.with_suffix(".lock")):
        if compiled.exists():
            return
        asyncio.run(httpstan.models.build_services_extension_module(program))
        directory = httpstan.cache.model_directory(httpstan.models.calculate_model_name(program))
        [built] = directory.glob("*.so")
        complete = compiled.with_name(f"{compiled.name}.{os.getpid()}")  # in the same folder: a rename is one step
        shutil.copyfile(built, complete)
        complete.replace(compiled)


def draw(program: str, compiled: Path, request: dict[str, Any], result: Path) -> None:
    """Run the chains, and write their draws (chains, n, p), log densities and divergences (chains, n) to ``result``."""
    import httpstan.cache
    import httpstan.models
    import stan

    name = httpstan.models.calculate_model_name(program)
    # what pystan looks for, beside the program itself, before it believes that there is nothing to compile
    httpstan.cache.dump_services_extension_module_compiler_output("", name)
    httpstan.cache.dump_stanc_warnings("", name)
    (httpstan.cache.model_directory(name) / "compiled.so").symlink_to(compiled)
    httpstan.models.import_services_extension_module(name)  # an error here says more than pystan's does

    def run() -> Any:
        model = stan.build(program, data=request["data"], random_seed=request["seed"])
        return model.sample(num_chains=len(request["init"]), init=request["init"], **request["settings"])

    # pystan looks for a free port, and another process may take it before its server does
    fit = _retry(run, lambda error: isinstance(error, OSError) and error.errno == errno.EADDRINUSE)
    chains = len(request["init"])

    def of_chains(quantity: str) -> Any:
        values = np.asarray(fit[quantity])  # (p, n * chains), the chains in turn within each draw
        return np.moveaxis(values.reshape(len(values), -1, chains), 2, 0).swapaxes(1, 2)

    np.savez(
        result,
        draws=of_chains("hyperparameters"),
        log_density=of_chains("lp__")[..., 0],
        divergent=of_chains("divergent__")[..., 0],
    )


def _run_without_limit(command: Any, timeout: float, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """In place of subprocess.run: httpstan gives its translator one second, which a busy machine exceeds."""
    return subprocess.run(command, **settings)


def _retry(action: Callable[[], T], is_passing: Callable[[Exception], bool]) -> T:
    """What ``action`` returns, which may fail a few times with errors that pass."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except Exception as error:
            if attempt == ATTEMPTS or not is_passing(error):
                raise
            time.sleep(0.2 * attempt)
    raise AssertionError("unreachable")


@contextmanager
def _our_turn(lock: Path) -> Iterator[None]:
    """Wait until no other process holds ``lock``. Without locks, on some file systems, all compile: only slower."""
    with lock.open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _end_with_parent(folder: Path, parent: int) -> None:
    """End this process, its compiler and its chains when the process that started it has ended without a word."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
