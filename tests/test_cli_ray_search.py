"""``tuun-da search --engine ray --config``: what its confirmation is told. No cluster is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuun_da.cli import main
from tuun_da.search.history import Journal, Trial, TrialState

ROOT = Path(__file__).parents[1]
UNIT = {"_type": "uniform", "_value": [0, 1]}
SPACE = {"operation1_1": {"_type": "choice", "_value": ["rotate"]}, "prob1_1": UNIT, "magnitude1_1": UNIT}


@pytest.mark.parametrize(("options", "model"), [([], "my_nets:Small"), (["--model", "child_cnn"], "child_cnn")])
def test_a_network_of_the_users_own_is_confirmed_without_being_named_again(tmp_path, monkeypatch, options, model):
    """The configuration that the user has just run names it: no search of hours may fail for that at its end."""
    settings = {"optimize_mode": "maximize", "surrogate": "random", "acquisition": "logei", "n_initial": 2, "seed": 0}
    journal = Journal.open(None, space=SPACE, settings=settings, versions={})
    said = {"policy": "search", "train": {"model": "my_nets:Small"}, "data": {"data": "digits"}}
    parameters = {"operation1_1": "rotate", "prob1_1": 1.0, "magnitude1_1": 0.5}
    journal.record_finished(
        Trial(id=1, parameters=parameters, state=TrialState.SUCCEEDED, value=0.5, details={"settings": said})
    )
    told = []
    monkeypatch.setattr("tuun_da.engines.ray_search.run_config", lambda *_, **__: (journal.content, False))
    monkeypatch.setattr(
        "tuun_da.commands.ray_search.confirm_journal",
        lambda content, folder, options, overrides, **_: told.append(overrides),
    )
    monkeypatch.chdir(tmp_path)
    config = str(ROOT / "nni_configs" / "digits.yml")
    assert main(["search", "--engine", "ray", "--config", config, "--folder", "out", "--confirm", *options]) == 0
    assert told == [{"model": model}]
