"""How a policy is made, checked, saved, copied and shown."""

from __future__ import annotations

import copy
import io
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from augment_samples import ALL_TYPES, make_images, make_policy, seeded
from torchvision import transforms as v1

import tuun_da
from tuun_da import Policy
from tuun_da.augment import Chain, CropAndFlip
from tuun_da.errors import PolicyError


def test_parameters_round_trip() -> None:
    params = make_policy().to_params()
    assert len(params) == 6 * len(ALL_TYPES)
    again = Policy(params, per="image", unchanged_share=0.1)
    assert again.to_params() == params
    assert again.record == make_policy().record
    assert tuun_da.Policy is Policy


def test_parameters_without_prob_mean_probability_1() -> None:
    policy = Policy({"operation1_1": "invert", "magnitude1_1": 0.3})
    assert policy.to_params() == {"operation1_1": "invert", "prob1_1": 1.0, "magnitude1_1": 0.3}


def test_file_round_trip_restores_how_it_was_searched(tmp_path: Path) -> None:
    searched = {"dataset": "digits", "image_size": 32, "score": 0.98}
    policy = Policy(make_policy().to_params(), per="image", unchanged_share=0.25, searched=searched)
    policy.save(tmp_path / "policy.json")
    again = Policy.load(tmp_path / "policy.json")
    assert again.record == policy.record
    assert (again.record.per, again.record.unchanged_share, again.record.searched) == ("image", 0.25, searched)
    images = make_images()
    assert torch.equal(again(images, generator=seeded()), policy(images, generator=seeded()))
    assert Policy.from_record(policy.record).record == policy.record


def test_a_file_can_be_applied_in_another_way_than_it_was_searched(tmp_path: Path) -> None:
    path, searched = tmp_path / "policy.json", {"dataset": "digits", "score": 0.98}
    Policy(make_policy().to_params(), per="batch", unchanged_share=0.25, searched=searched).save(path)

    def loaded(**changes: Any) -> tuple[object, ...]:
        record = Policy.load(path, **changes).record
        assert (record.sub_policies, record.searched) == (ALL_TYPES, searched)
        return record.per, record.unchanged_share

    assert loaded() == ("batch", 0.25)
    assert loaded(per="image") == ("image", 0.25)
    assert loaded(unchanged_share=0.0) == ("batch", 0.0)
    assert loaded(per="image", unchanged_share=0.5) == ("image", 0.5)
    with pytest.raises(PolicyError, match="per must be 'batch' or 'image', got ''"):
        loaded(per="")
    with pytest.raises(TypeError):
        Policy.load(path, "image")  # type: ignore[misc]


def test_a_trials_parameters_make_a_policy_with_the_tuners_id_among_them() -> None:
    assert Policy({**PARAMS, "tuun_id": 4}).to_params() == Policy(PARAMS).to_params()


def test_copies_behave_alike() -> None:
    policy, images = make_policy(), make_images()
    wanted = policy(images, generator=seeded())
    buffer = io.BytesIO()
    torch.save(policy, buffer)
    buffer.seek(0)
    copies = [pickle.loads(pickle.dumps(policy)), copy.deepcopy(policy), torch.load(buffer, weights_only=False)]
    for one in copies:
        assert one.record == policy.record
        assert torch.equal(one(images, generator=seeded()), wanted)


def test_repr_reads_like_the_policy() -> None:
    policy = Policy(
        {
            "operation1_1": "rotate",
            "prob1_1": 0.4,
            "magnitude1_1": 0.7,
            "operation1_2": "invert",
            "prob1_2": 0.1,
            "magnitude1_2": 0.2,
        },
        unchanged_share=0.25,
    )
    lines = repr(policy).splitlines()
    assert lines[0] == "Policy(per='batch', unchanged_share=0.25)"
    assert lines[1].split() == ["sub-policy", "operation", "probability", "magnitude", "setting"]
    assert lines[2].split() == ["1", "rotate", "0.40", "0.70", "+-21", "degrees"]
    assert lines[3].split() == ["invert", "0.10", "-", "-"]
    assert "rotate" in repr(v1.Compose([policy]))
    assert "rotate" in repr(Chain([CropAndFlip(), policy]))


PARAMS = {
    "operation1_1": "rotate",
    "prob1_1": 0.4,
    "magnitude1_1": 0.7,
    "operation1_2": "invert",
    "prob1_2": 0.1,
    "magnitude1_2": 0.2,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magnitude1_1": 1.7}, r"operation 1 of sub-policy 1: magnitude of rotate must lie in \[0, 1\], got 1.7"),
        ({"prob1_2": -0.1}, r"operation 2 of sub-policy 1: probability of invert must lie in \[0, 1\], got -0.1"),
        ({"prob1_1": float("nan")}, r"probability of rotate must lie in \[0, 1\], got nan"),
        ({"magnitude1_1": "0.5"}, "magnitude of rotate must be a number"),
        ({"operation1_1": "rotat"}, "operation type must be one of shearX.*got 'rotat'"),
        ({"learning_rate": 0.1}, "got 'learning_rate'"),
        ({"operation3_1": "invert"}, "operation2_1 is missing"),
        ({"prob1_1": None}, "policy parameter prob1_1 is missing"),
        ({"magnitude1_2": None}, "policy parameter magnitude1_2 is missing"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_parameters_are_checked(change: dict[str, object], message: str) -> None:
    """A value of None takes the parameter away."""
    params = {name: value for name, value in {**PARAMS, **change}.items() if value is not None}
    with pytest.raises(PolicyError, match=message):
        Policy(params)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per": "epoch"}, "per must be 'batch' or 'image', got 'epoch'"),
        ({"unchanged_share": 1.5}, r"unchanged_share must lie in \[0, 1\], got 1.5"),
        ({"unchanged_share": float("nan")}, r"unchanged_share must lie in \[0, 1\], got nan"),
        ({"searched": []}, "searched must be a mapping"),
    ],
    ids=str,
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        Policy(PARAMS, **settings)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match=message):
        Policy.from_sub_policies(ALL_TYPES, **settings)  # type: ignore[arg-type]


def test_a_policy_is_made_of_parameters_by_keyword(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"from a mapping of parameters, got str; Policy\.load reads a file"):
        Policy("policy.json")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Policy(PARAMS, "image")  # type: ignore[misc]
    with pytest.raises(TypeError):
        Policy(PARAMS, unchanged=0.5)  # type: ignore[call-arg]
    with pytest.raises(PolicyError, match="at least one sub-policy"):
        Policy.from_sub_policies([])
    with pytest.raises(PolicyError, match="searched must hold JSON values"):
        Policy(PARAMS, searched={"score": float("nan")}).save(tmp_path / "policy.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("{}", "version must be 1"),
        (json.dumps({"version": 1, "sub_policies": []}), "at least one sub-policy"),
        (json.dumps({"version": 1, "sub_policies": [[]]}), "sub-policy 1: a sub-policy must have at least one"),
    ],
)
def test_empty_files_hold_no_policy(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(content)
    with pytest.raises(PolicyError, match=f"policy.json.*{message}"):
        Policy.load(path)
