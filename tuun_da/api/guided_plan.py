"""The plan of a guided search as it lies in the experiment's folder, and what else lies there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tuun_da.data_files import parse_object, read_text, write_text
from tuun_da.engines.experiment_files import FOLDER, POLICY_NAME
from tuun_da.engines.local_trial import TrialPlan
from tuun_da.engines.time_plan import SearchPlan, Wishes
from tuun_da.errors import ConfigError
from tuun_da.space_file import policy_space, read_space
from tuun_da.training.checks import check_device, checked_choice, checked_integer, checked_number, made_from_mapping
from tuun_da.training.data_spec import data_spec
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

ON_TOP_OF = ("auto", "none", "etp")
DEFAULT_MINUTES = 30.0
MINUTES_RANGE = "(0, inf)"
ENGINES = ("local", "ray")
_VERSION = 1
_OF_A_CALL = ("data", "folder", "output", "engine", "address")
"""What another call may have otherwise: the trials stay the same."""


@dataclass(frozen=True, kw_only=True)
class GuidedRequest:
    """What a user asks of a guided search; None leaves it to the plan. Raises ConfigError.

    ``data``       a folder of images, or another name that ``find_policy`` takes.
    ``minutes``    of the whole: looking, measuring, baselines, search, confirmation and report. None: 30.
    ``folder``     of the experiment; None: tuun_da_search/NAME of the data, in the working folder.
    ``trials``     policies to try, besides the baselines.
    ``on_top_of``  "etp": search what comes after crop + flip; "none": search the whole augmentation; "auto": whichever
                   of both is the better start.
    ``seeds``      trainings of each row of the confirmation. None: 5.
    ``workers``    processes that train side by side. None: one for each GPU or core.
    ``engine``     "local": processes on this machine; "ray": the workers of the Ray cluster at ``address`` ("auto" is
                   the one on this machine, None starts Ray here). The confirmation trains on this machine.
    The rest are settings of TrainConfig and DataConfig, and files: ``space`` a search space, ``output`` where the
    policy is written besides the folder.
    """

    data: str
    minutes: float | None = None
    folder: str | None = None
    output: str | None = None
    trials: int | None = None
    model: str | None = None
    epochs: int | None = None
    image_size: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    train_size: int | None = None
    validation_size: int | float | None = None
    test_size: int | float | None = None
    metric: str | None = None
    sampling: str | None = None
    workers: int | None = None
    device: str | None = None
    seed: int | None = None
    seeds: int | None = None
    data_dir: str | None = None
    skip_broken: bool = False
    space: str | None = None
    probe: bool = True
    confirm: bool = True
    on_top_of: str | None = None
    engine: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        checked_choice("engine", self.engine, ENGINES)
        if self.address is not None and self.engine != "ray":
            raise ConfigError(f"address is that of a Ray cluster, so engine must be ray; got {self.engine!r}")
        if self.minutes is not None:
            object.__setattr__(self, "minutes", checked_number("minutes", self.minutes, MINUTES_RANGE))
        for name in ("trials", "workers", "seeds"):
            if getattr(self, name) is not None:
                checked_integer(name, getattr(self, name), low=1)
        if self.device is not None:
            check_device(self.device)
        if self.on_top_of is not None and self.on_top_of not in ON_TOP_OF:
            raise ConfigError(f"on_top_of must be one of {', '.join(ON_TOP_OF)}; got {self.on_top_of!r}")
        names = [entry.name for entry in fields(TrainConfig)]
        given = {name: value for name, value in self.given().items() if name in names}
        TrainConfig(**given)  # a mistake is said before anything is measured
        self.data_config()

    def given(self) -> dict[str, Any]:
        """What was decided, by name; not where results go."""
        plain = {name: value for name, value in asdict(self).items() if name not in _OF_A_CALL}
        return {name: value for name, value in plain.items() if value is not None and value != _DEFAULTS.get(name)}

    def data_config(self) -> DataConfig:
        """The images as the plan looks at them."""
        names = ("image_size", "train_size", "validation_size", "test_size", "data_dir", "skip_broken")
        return DataConfig(data=data_spec(self.data), **{name: getattr(self, name) for name in names})

    def wishes(self) -> Wishes:
        """What the plan may not choose."""
        names = [entry.name for entry in fields(Wishes) if entry.name != "seeds"]
        return Wishes(**{name: getattr(self, name) for name in names}, seeds=self.seeds or 5)

    @property
    def experiment_folder(self) -> Path:
        """Where all of it lies."""
        if self.folder is not None:
            try:
                return Path(self.folder).expanduser().resolve()
            except RuntimeError as error:  # of a user that there is not
                raise ConfigError(f"folder {self.folder} for the search cannot be used: {error}") from None
        config = self.data_config()
        name = Path(config.path).stem if ":" in config.data else config.data
        return (Path(FOLDER) / (name or "images")).resolve()


_DEFAULTS = {"skip_broken": False, "probe": True, "confirm": True}


@dataclass(frozen=True, kw_only=True)
class GuidedPlan:
    """All that decides a guided search, as it is kept. ``train`` and ``data`` are those of every trial.

    ``choice`` is what the user said of crop + flip: "auto", "none" or "etp". ``says`` is what was found, in lines.
    """

    minutes: float
    search: SearchPlan
    train: TrainConfig
    data: DataConfig
    space: Mapping[str, Any]
    choice: str
    seed: int
    device: str
    threads: int
    trials_per_gpu: int
    says: tuple[str, ...] = field(default=())

    def trial_plan(self, policy: str) -> TrialPlan:
        """How a trial of that choice trains."""
        return TrialPlan(
            train=self.train,
            data=self.data,
            policy=policy,
            device=self.device,
            threads=self.threads,
            trials_per_gpu=self.trials_per_gpu,
        )

    def save(self, path: Path) -> None:
        """Write the plan in one step. Raises ConfigError."""
        content = {
            **{entry.name: getattr(self, entry.name) for entry in fields(self)},
            "version": _VERSION,
            "search": self.search.to_dict(),
            "train": self.train.to_dict(),
            "data": self.data.to_dict(),
        }
        write_text(path, json.dumps(content, indent=1) + "\n", "plan", ConfigError)

    @classmethod
    def load(cls, path: Path) -> GuidedPlan:
        """The plan in that file. Raises ConfigError."""
        names = [entry.name for entry in fields(cls)]
        source = f"plan {path}"
        content = parse_object(
            read_text(path, "plan", ConfigError), source, version=_VERSION, keys=names, error_type=ConfigError
        )
        for name in names:
            if name not in content:
                raise ConfigError(f"{source}: key {name} is missing")
        content["search"] = SearchPlan.from_mapping(content["search"])
        content["train"] = TrainConfig.from_mapping(content["train"])
        content["data"] = DataConfig.from_mapping(content["data"])
        content["says"] = tuple(content["says"])
        return made_from_mapping(cls, content)

    def check_same(self, request: GuidedRequest, folder: Path) -> None:
        """Raise ConfigError where ``request`` contradicts the plan: an experiment keeps its settings."""
        decided: dict[str, Any] = {
            **self.data.to_dict(),
            **self.train.to_dict(),
            "minutes": self.minutes,
            "trials": self.search.n_trials,
            "workers": self.search.n_workers,
            "seeds": self.search.seeds,
            "probe": self.search.probe,
            "confirm": self.search.confirm,
            "seed": self.seed,
            "device": self.device,
            "on_top_of": self.choice,
            "space": dict(self.space),
        }
        asked = request.given() | {"data": data_spec(request.data)}
        if "space" in asked:
            asked["space"] = space_of(request)
        if asked.get("device") == "auto":  # it was left to the plan, which has found one
            del asked["device"]
        for name, value in asked.items():
            if value != decided[name]:
                shown = "another one" if name == "space" else f"{decided[name]!r}, and {value!r} is asked for"
                raise ConfigError(
                    f"the search in {folder} was planned with {name.replace('_', ' ')} = {shown}; a search keeps its "
                    "plan, so give this one a --folder of its own"
                )


def space_of(request: GuidedRequest) -> dict[str, Any]:
    """The search space that is asked for, as NNI's JSON. Raises ConfigError, SearchSpaceError."""
    from tuun_da.search.policy_space import find_policy
    from tuun_da.search.space import SearchSpace

    if request.space is None:
        return policy_space()
    space = read_space(request.space)
    if find_policy(SearchSpace.from_nni(space)) is None:
        raise ConfigError(f"--space must be a search space with a policy in it, got {request.space!r}")
    return space


class ExperimentFolder:
    """The folder of a guided search, and the files in it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.plan = folder / "plan.json"
        self.baselines = folder / "baselines.json"
        self.probe = folder / "probe.json"
        self.journal = folder / "journal.jsonl"
        self.policy = folder / POLICY_NAME
        self.confirmation = folder / "best_policy.confirmation.json"
        self.report = folder / "report.html"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The folder, made unless it is there, for this process alone. Raises ConfigError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise ConfigError(f"folder {self.path} for the search cannot be used: {error.strerror}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(
                    f"a search in {self.path} is running; give another one a --folder of its own"
                ) from None
            if not self.plan.exists() and self.journal.exists():
                raise ConfigError(
                    f"folder {self.path} has the journal of another search and no plan; give this one another --folder"
                )
            yield
        finally:
            os.close(descriptor)
