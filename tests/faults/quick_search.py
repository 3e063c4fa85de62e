"""A search whose trainings are replaced by a number, and whose trials and surroundings misbehave on demand.

Everything else of it is real: ``run_search``, the study, the optimizer, the journal, the worker processes. Only
``run_planned`` is not, since a training of seconds would leave room for few faults. What was run, and what was
acknowledged, is noted beside the journal by this file's own means, for ``invariants.py`` to compare.

A job (JSON) says: ``folder``, ``n_trials``, ``n_workers``, ``seed``, ``surrogate``, ``trial_seconds``, ``seconds`` (of
a trial), ``at`` (trial id: what it does wrong, once), ``room_after`` (so many refused records room is made), and what
``searcher.py`` makes of the rest.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import signal
import sys
import time
from pathlib import Path

SPACE = {
    "operation1_1": {"_type": "choice", "_value": ["rotate", "invert", "shearX"]},
    "prob1_1": {"_type": "uniform", "_value": [0, 1]},
    "magnitude1_1": {"_type": "uniform", "_value": [0, 1]},
}
TYPES = ("rotate", "invert", "shearX")
JOB = "TUUN_DA_FAULTS_JOB"
"""The job, in the environment of the workers; it names the folder, by which a process that was left is found."""
HOLDS_THE_INTERPRETER = re.compile("(a+)+$")  # matching it takes ages, in which no other thread of Python runs

WORKER = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); import quick_search; quick_search.install(); "
    "from tuun_da.engines.local_worker import serve; serve(int(sys.argv[1]))"
)


def score_of(parameters):
    """Different for different parameters; what a trial that ran them must have in the journal."""
    return round(
        TYPES.index(parameters["operation1_1"]) * 2 + parameters["prob1_1"] + parameters["magnitude1_1"] / 7, 12
    )


def note(folder, name, entry):
    """Append ``entry`` to a file beside the journal, in one call, which a kill cannot cut."""
    descriptor = os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.write(descriptor, json.dumps(entry).encode() + b"\n")
    os.close(descriptor)


def is_first(folder, name):
    """Whether nobody has asked this before, in any process."""
    try:
        Path(folder, name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def run_quickly(job, plan, trial_id, parameters):
    """In place of ``run_planned``: the score of the parameters, or what the job says of this trial."""
    from tuun_da.engines.echo import final_metric
    from tuun_da.policy_format import TRIAL_ID_KEY

    folder = job["folder"]
    started, begun = time.time(), time.monotonic()
    parameters = {name: value for name, value in parameters.items() if name != TRIAL_ID_KEY}
    note(folder, "ran.jsonl", {"id": trial_id, "parameters": parameters})
    fault = job.get("at", {}).get(str(trial_id))
    if fault is not None and not is_first(folder, f"once-{trial_id}"):
        fault = None
    time.sleep(job.get("seconds", 0.01))
    value = score_of(parameters)
    if "room_after" in job and Path(folder, "output.txt").read_text().count("No space left") >= job["room_after"]:
        Path(folder, "disk", "ballast").unlink(missing_ok=True)
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "kill, a child lives on":
        if os.fork() == 0:
            time.sleep(600)
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "exit 0":
        os._exit(0)
    if fault == "hang":
        time.sleep(600)
    if fault == "hang hard":
        HOLDS_THE_INTERPRETER.match("a" * 60 + "b")
    if fault in ("nan", "inf"):
        print(f"loss {fault}", flush=True)
        value = math.nan if fault == "nan" else math.inf
    metric = final_metric(
        {**parameters, TRIAL_ID_KEY: trial_id},
        value,
        curve=[value],
        started=started,
        ended=started + time.monotonic() - begun,
    )
    if fault == "twice":
        metric["twice"] = True
    return metric


def install():
    """In a worker: quick trials in place of trainings; and what goes wrong around them."""
    from multiprocessing.connection import Connection

    job = json.loads(os.environ[JOB])
    if job.get("die_at_start") and is_first(job["folder"], "died"):
        os.kill(os.getpid(), signal.SIGKILL)
    send = Connection.send

    def sent_twice(self, message):
        send(self, message)
        if isinstance(message, tuple) and isinstance(message[1], dict) and message[1].pop("twice", False):
            send(self, (message[0], {**message[1], "default": message[1]["default"] + 1}))

    Connection.send = sent_twice


def search(job, journal, *, on_trial=lambda trial, content: None):
    """Run the search of this job to its end; the content of its journal, and whether it was interrupted."""
    from tuun_da.engines import local, local_worker
    from tuun_da.engines.local_trial import TrialPlan
    from tuun_da.engines.tuner_settings import TunerSettings

    os.environ[JOB] = json.dumps(job)
    sys.path.insert(0, str(Path(__file__).parent))  # for the workers, who get this one's path
    local_worker._BEGIN = WORKER
    local._check_before = lambda *_, **__: None  # there are no images
    local.run_planned = functools.partial(run_quickly, job)

    def acknowledged(trial, content):
        note(job["folder"], "acknowledged.jsonl", trial.to_record())
        on_trial(trial, content)

    settings = TunerSettings(seed=job["seed"], surrogate=job.get("surrogate", "random"), n_initial=3)
    return local.run_search(
        TrialPlan(threads=1),
        SPACE,
        settings,
        job["n_trials"],
        journal=Path(journal),
        n_workers=job.get("n_workers", 0),
        trial_seconds=job.get("trial_seconds"),
        on_trial=acknowledged,
    )
