"""How to use what was found, and how to search again: code to copy."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tuun_da.operations import PUBLISHED_TYPES
from tuun_da.report.report_data import Report
from tuun_da.space_file import policy_space
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig

_PARTS: Sequence[tuple[str, type[DataConfig] | type[TrainConfig] | type[TrialConfig]]] = (
    ("data", DataConfig),
    ("train", TrainConfig),
    ("trial", TrialConfig),
)
HOW = {"per": "batch", "unchanged_share": 0.0}
SEARCH_KEYWORDS = ("surrogate", "acquisition", "beta", "n_initial", "probe", "initial", "warm_start", "seed")
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
    return (
        Snippet("In the training loop, on the device", "uint8, or float in [0, 1]; before normalization.", loop),
        Snippet("In a torchvision pipeline", "Image by image, in the workers of the loader.", pipeline),
        _export_snippet(report),
    )


def _export_snippet(report: Report) -> Snippet:
    """The policy as code of another library, or, where that has not all of its operations, in the loader's batches."""
    found = {operation.type for sub in report.record.sub_policies for operation in sub.operations}  # type: ignore[union-attr]
    if found <= set(PUBLISHED_TYPES):
        code = "tuun-da export best_policy.json --to torchvision -o augmentation.py"
        return Snippet("As code without tuun_da", "A Python file that does the same; also --to albumentations.", code)
    code = """from torch.utils.data import DataLoader
from tuun_da import Policy

policy = Policy.load("best_policy.json")
loader = DataLoader(train_set, batch_size=64, shuffle=True, collate_fn=policy.collate)"""
    about = "In the workers of the loader, a mini-batch at a time; train_set yields uint8 tensors and labels."
    return Snippet("In a DataLoader", about, code)


def policy_command(report: Report) -> str:
    """The command that writes the policy file, or the call where no file has the journal."""
    if not (report.experiment or report.journal):
        return 'found.save("best_policy.json")  # found is what the search returned'
    named = report.experiment or report.journal
    home = "~/" if named.startswith("~/") else ""  # which a shell must see without quotes
    return f"tuun-da best {home}{shlex.quote(named.removeprefix(home))} -o best_policy.json"


@dataclasses.dataclass(frozen=True)
class Rerun:
    """How to search again: a sentence, and code."""

    about: str
    code: str


def rerun(report: Report) -> Rerun:
    """As the experiment was begun: a call from Python, or an NNI configuration."""
    if report.is_from_python:
        return Rerun(
            "In Python; in an empty folder, since the same call would go on with this one.", rerun_call(report)
        )
    return Rerun("As an NNI configuration, search.yml; then: tuun-da search --config search.yml", rerun_config(report))


def rerun_call(report: Report) -> str:
    """A call of find_policy that makes the same trials; defaults are left out."""
    settings = report.trial_settings
    keywords: dict[str, Any] = {}
    if dict(report.space) != policy_space():
        keywords["space"] = "search_space.json"
    if settings.get("policy") == "etp+search":
        keywords["on_top_of_etp"] = True
    keywords |= {
        name: value
        for name, value in report.search_settings.items()
        if name in SEARCH_KEYWORDS and (name == "initial" or value not in (None, [], UNSAID.get(name)))
    }
    for part, kind in _PARTS:
        keywords |= {
            name: value for name, value in _changed(settings.get(part), kind).items() if name not in ("data", "seed")
        }
    keywords |= {name: settings[name] for name, usual in HOW.items() if settings.get(name, usual) != usual}
    data = repr(report.data)
    if not report.journal and report.data is not None and report.data.startswith("npz:"):
        data = "(images, labels)"
    lines = [f"    {data},", f"    {max(report.n_asked, 1)},"]
    lines += [f"    {name}={value!r}," for name, value in keywords.items()]
    return "import tuun_da\n\nfound = tuun_da.find_policy(\n" + "\n".join(lines) + "\n)\n"


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
    for part, kind in _PARTS:
        for name, value in _changed(settings.get(part), kind).items():
            if value is None or value is False:
                continue
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [str(value)]
    if settings.get("policy") not in (None, "search"):
        words += ["--policy", str(settings["policy"])]
    return shlex.join(words)


def _changed(said: object, kind: type[DataConfig] | type[TrainConfig] | type[TrialConfig]) -> dict[str, Any]:
    """The settings that are known and not the defaults."""
    defaults = {entry.name: entry.default for entry in dataclasses.fields(kind)}
    found = said if isinstance(said, Mapping) else {}
    return {name: value for name, value in found.items() if name in defaults and value != defaults[name]}
