"""How to use what was found, and how to search again: code to copy."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from typing import Any

from tuun_da.report.report_data import Report
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig

TUNER = "tuun_da.engines.nni_tuner.TuunTuner"
UNSAID = {"optimize_mode": "maximize", "surrogate": "gp", "acquisition": "logei", "n_initial": 10}


@dataclasses.dataclass(frozen=True)
class Snippet:
    """Code under a heading, with a sentence before it."""

    title: str
    about: str
    code: str


def usage_snippets(report: Report) -> tuple[Snippet, ...]:
    """Three ways to use the policy: on the device in the training loop, in torchvision's pipeline, without tuun_da."""
    size = report.trial_settings.get("image_size")
    side = size if isinstance(size, int) and not isinstance(size, bool) else 32
    loop = f"""import torch
from tuun_da import Policy

policy = Policy.load("best_policy.json")
images = torch.randint(0, 256, (128, 3, {side}, {side}), dtype=torch.uint8)  # your mini-batch, on its device
augmented = policy(images)  # only for training, never for validation"""
    pipeline = """import torch
from torchvision.transforms import v2
from tuun_da import Policy

transform = v2.Compose([
    Policy.load("best_policy.json", per="image"),
    v2.ToImage(),
    v2.ToDtype(torch.float32, scale=True),
])  # for the training data set; normalize after it"""
    export = """tuun-da export best_policy.json --to torchvision -o augmentation.py"""
    return (
        Snippet("In the training loop, on the device", "uint8, or float in [0, 1]; before normalization.", loop),
        Snippet("In a torchvision pipeline", "Image by image, in the workers of the loader.", pipeline),
        Snippet("As code without tuun_da", "A Python file that does the same; also --to albumentations.", export),
    )


def policy_command(report: Report) -> str:
    """The command that writes the policy file."""
    named = report.experiment or report.journal
    home = "~/" if named.startswith("~/") else ""  # which a shell must see without quotes
    return f"tuun-da best {home}{shlex.quote(named.removeprefix(home))} -o best_policy.json"


def rerun_config(report: Report) -> str:
    """An NNI configuration of the same search (JSON values, which YAML reads); the search space goes into a file."""
    arguments = {
        name: value
        for name, value in report.search_settings.items()
        if name.isidentifier()  # else it could be more than a name to YAML
        and value not in (None, [], "")
        and (name not in UNSAID or value != UNSAID[name] or name == "surrogate")
    }
    lines = [
        f"experimentName: {json.dumps(report.name)}",
        "searchSpaceFile: search_space.json",
        "trialCodeDirectory: trials   # as tuun-da init writes it",
        f"trialCommand: {json.dumps(trial_command(report.trial_settings))}",
        "trialConcurrency: 1",
        f"maxTrialNumber: {max(report.n_asked, 1)}",
        "tuner:",
        "  codeDirectory: .",
        f"  className: {TUNER}",
        "  classArgs:",
        *(f"    {name}: {json.dumps(value)}" for name, value in arguments.items()),
        "trainingService:",
        "  platform: local",
    ]
    return "\n".join(lines) + "\n"


def trial_command(settings: Mapping[str, Any]) -> str:
    """The command line of a trial with these settings, as trials/train.py reports them; defaults are left out."""
    words = ["python3", "train.py"]
    for part, kind in (("data", DataConfig), ("train", TrainConfig), ("trial", TrialConfig)):
        said = settings.get(part)
        defaults = {entry.name: entry.default for entry in dataclasses.fields(kind)}
        for name, value in (said if isinstance(said, Mapping) else {}).items():
            if name not in defaults or value == defaults[name] or value is None or value is False:
                continue
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [str(value)]
    if settings.get("policy") not in (None, "search"):
        words += ["--policy", str(settings["policy"])]
    return shlex.join(words)
