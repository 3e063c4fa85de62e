"""A trial of the digits, now against the project's first version: the same command, one thread, in turns.

    python -m benchmarks.first_version [--rounds 5] [--policies none random trivialaugment]
    python -m benchmarks.first_version --report

The first version is the first commit that had a working trial, taken out of git into a temporary folder. Its own
``trialCommand`` for the digits runs with both versions: as a whole process (Python, imports, data, training, NNI's
reports, which here go nowhere), and, in a process of its own and warmed up, ``train`` alone (first_version_driver.py).
In a round, each version does each once for every policy, in changing order. It needs nni, as the trial does. Both the
seconds of a clock and the CPU seconds are kept: the latter are what a machine with nothing else to do would show.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import race
from benchmarks.augment_works import random_policy
from benchmarks.timed_training import TimeSlice, code_of_ours, conditions, spread, table
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

HERE = Path(__file__).parent
FIRST_COMMIT = "5812edc"  # the first with a working trial: "the main job on digits as an end-to-end test"
CONFIGURATION = Path("nni_configs") / "digits.yml"
FIRST, NOW = "first", "now"
POLICIES = ("none", "random", "trivialaugment")
POLICY_NUMBER = 0  # of augment_works' random policies: the one called "random"
WAYS = ("process", "train")


def taken_out(commit: str, folder: Path) -> Path:
    """The files of ``commit``, put into ``folder``. Raises ConfigError without that commit."""
    git = ["git", "-C", str(race.ROOT), "archive", "--format=tar", commit]
    try:
        done = subprocess.run(git, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error).encode()
        raise ConfigError(f"commit {commit} must be in the git history of {race.ROOT}: {said.decode()}") from error
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def trial_command(folder: Path) -> list[str]:
    """The options of the trial of the digits in ``folder``'s version, after ``train.py``. Raises ConfigError."""
    path = folder / CONFIGURATION
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "trialCommand":
            words = shlex.split(value)
            return words[words.index("train.py") + 1 :]
    raise ConfigError(f"{path} must have a trialCommand, has none")


def split_options(options: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``train`` and ``data`` settings as JSON objects, out of a trial's options. Raises ConfigError."""
    fields = {
        "train": {field.name for field in dataclasses.fields(TrainConfig)},
        "data": {field.name for field in dataclasses.fields(DataConfig)},
    }
    found: dict[str, dict[str, Any]] = {"train": {}, "data": {}}
    for option, text in zip(options[::2], options[1::2], strict=True):
        name = option.removeprefix("--").replace("-", "_")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:  # a word
            value = text
        places = [place for place in fields if name in fields[place]]
        if places:
            found[places[0]][name] = value
        elif name != "threads":
            raise ConfigError(f"option {option} of the trial must be a setting of training or data")
    return found


def with_epochs(options: Sequence[str], epochs: int | None) -> list[str]:
    """``options`` with another number of epochs, if one is given."""
    changed = list(options)
    if epochs is not None:
        changed[changed.index("--epochs") + 1] = str(epochs)
    return changed


def run_process(folder: Path, options: Sequence[str], policy: str) -> dict[str, Any]:
    """The whole trial as a process. Raises ConfigError if it fails."""
    command = [sys.executable, "train.py", *options, "--policy", policy]
    clock = race.Clock()
    with clock:
        ran(command, folder / "trials", folder)
    return {"seconds": clock.seconds, "cpu_seconds": clock.cpu_seconds}


def run_train(folder: Path, options: Sequence[str], policy: str) -> dict[str, Any]:
    """``train`` alone, as it times itself. Raises ConfigError if it fails, or if it was another version's."""
    wanted = json.dumps(split_options(options) | {"policy": policy})
    driver = HERE / "first_version_driver.py"
    text = ran([sys.executable, "-P", str(driver), wanted], folder, folder)
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    package = Path(found.pop("package"))
    if package.parent.resolve() != (folder / "tuun_da").resolve():
        raise ConfigError(f"the version in {folder} must be timed, Python took {package}")
    return found


def ran(command: Sequence[str], work_folder: Path, version: Path) -> str:
    """What ``command`` printed, with ``version`` on Python's path, on one core. Raises ConfigError if it failed."""
    environment = {**os.environ, **race.ONE_CORE, "PYTHONPATH": str(version)}
    done = subprocess.run(command, cwd=work_folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ConfigError(f"{shlex.join(command)} in {work_folder} ended with {done.returncode}: {said}")
    return done.stdout


def policy_choice(name: str, folder: Path) -> str:
    """What to give a trial as ``--policy``; "random" is written as a policy file, which both versions read."""
    if name != "random":
        return name
    path = folder / "random_policy.json"
    path.write_text(json.dumps({"version": 1} | policy_content()))
    return str(path)


def policy_content() -> dict[str, Any]:
    """A policy file's content without its version."""
    return {
        "sub_policies": [
            [[operation.type, operation.probability, operation.magnitude] for operation in sub_policy.operations]
            for sub_policy in Policy.from_sub_policies(random_policy(POLICY_NUMBER)).record.sub_policies
        ],
        "per": "batch",
        "unchanged_share": 0.0,
        "searched": {},
    }


def measure_round(
    number: int, versions: Mapping[str, Path], options: Sequence[str], policies: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """A record for each policy, way and version; in every second round the versions change places."""
    order = list(versions.items())
    for name, choice in policies.items():
        for way, measured in (("process", run_process), ("train", run_train)):
            for version, folder in order if number % 2 == 0 else order[::-1]:
                yield {"version": version, "way": way, "policy": name} | measured(folder, options, choice)


def report(records: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: of the settings and the code that were measured last."""
    if not records:
        return "nothing measured yet"
    last = records[-1]
    kept = [record for record in records if all(record[key] == last[key] for key in ("command", "code", "commit"))]
    head = ["policy", "", "rounds", "first version, s", "now, s", "times as fast", "in CPU seconds", "score first, now"]
    rows = []
    for policy in dict.fromkeys(record["policy"] for record in kept):
        for way in WAYS:
            of: dict[str, dict[int, Mapping[str, Any]]] = {FIRST: {}, NOW: {}}
            for record in kept:
                if (record["policy"], record["way"]) == (policy, way):
                    of[record["version"]][record["round"]] = record
            common = sorted(of[FIRST].keys() & of[NOW].keys())
            if not common:
                continue
            seconds = {version: [of[version][number]["seconds"] for number in common] for version in of}
            ratios = {
                unit: [of[FIRST][number][unit] / of[NOW][number][unit] for number in common]
                for unit in ("seconds", "cpu_seconds")
            }
            scores = [
                [of[version][number]["score"] for number in common if "score" in of[version][number]]
                for version in (FIRST, NOW)
            ]
            shown = ", ".join(f"{100 * median(found):.1f} %" for found in scores if found)
            rows.append(
                [
                    policy,
                    {"process": "whole process", "train": "`train` alone"}[way],
                    str(len(common)),
                    spread(seconds[FIRST]),
                    spread(seconds[NOW]),
                    spread(ratios["seconds"]),
                    spread(ratios["cpu_seconds"]),
                    shown,
                ]
            )
    about = last["conditions"]
    title = (
        f"**A trial of the digits, first version ({last['commit']}) and now ({about['commit']})**: "
        f"`train.py {last['command']}`, one thread of {about['cpu']}, torch {about['versions']['torch']}; "
        "median, smallest to largest"
    )
    return f"{title}\n\n{table(head, rows)}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=POLICIES)
    parser.add_argument("--epochs", type=int, help="instead of those of the trial's command")
    parser.add_argument("--commit", default=FIRST_COMMIT)
    parser.add_argument("--minutes", type=float, help="begin no round that would not be done by then")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "first_version.jsonl")
    parser.add_argument("--report", action="store_true", help="only print the table of what is there")
    options = parser.parse_args(arguments)
    if options.report:
        print(report(race.read_lines(options.results)))
        return 0
    time_slice = TimeSlice(options.minutes)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            versions = {FIRST: taken_out(options.commit, folder / "version"), NOW: race.ROOT}
            command = with_epochs(trial_command(versions[FIRST]), options.epochs)
            policies = {policy: policy_choice(policy, folder) for policy in options.policies}
            measure(options, versions, command, policies, time_slice)
    except ConfigError as error:
        print(f"ConfigError: {error}", file=sys.stderr)
        return 1
    print(report(race.read_lines(options.results)))
    return 0


def measure(
    options: argparse.Namespace,
    versions: Mapping[str, Path],
    command: Sequence[str],
    policies: Mapping[str, str],
    time_slice: TimeSlice,
) -> None:
    """All rounds that are not there yet, as far as the time goes. A round's records are kept when it is whole."""
    key = {"command": shlex.join(command), "code": code_of_ours(), "commit": options.commit}
    longest = 0.0
    for number in range(options.rounds):
        done = {
            record["policy"]
            for record in race.read_lines(options.results)
            if record["round"] == number and all(record[name] == value for name, value in key.items())
        }
        waiting = {name: choice for name, choice in policies.items() if name not in done}
        if not waiting:
            continue
        if not time_slice.has_room_for(longest):
            print(f"stopped before round {number}: run the same command again", flush=True)
            return
        begin = time.perf_counter()
        for record in list(measure_round(number, versions, command, waiting)):
            about = {"load": os.getloadavg()[0], "conditions": conditions(torch.device("cpu"))}
            race.append_line(options.results, key | {"round": number} | record | about)
        longest = max(longest, time.perf_counter() - begin)
        print(f"round {number}: {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
