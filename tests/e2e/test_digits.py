"""The main job on the embedded default, as ``make search`` does it, with fewer trials and seeds."""

from __future__ import annotations

import json
import re

import pytest
from nni_harness import BIN, free_port

from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import read_journal

pytestmark = pytest.mark.e2e


def test_search_on_digits_with_confirmation(place):
    assert place.run(BIN / "tuun-da", "init")[0] == 0
    config = place.folder / "nni_configs" / "digits.yml"
    text = config.read_text()
    assert "maxTrialNumber: 24" in text
    config.write_text(text.replace("maxTrialNumber: 24", "maxTrialNumber: 4"))
    port = free_port()
    code, output = place.run(
        BIN / "tuun-da", "search", "--config", config, "--port", str(port), "--confirm", "--seeds", "1",
        "--baselines", "none,etp+policy", "--candidates", "2",
    )  # fmt: skip
    assert code == 0, output
    # what a user watches
    assert f"http://127.0.0.1:{port}" in output
    assert re.search(r"4/4 trials, best score 0\.\d{4} \(trial \d\), \d+:\d\d passed", output)
    assert re.search(r"[1-3]/4 trials.*about \d+:\d\d left", output)
    # what a user keeps
    path = place.folder / "best_policy.json"
    assert f"Written to {path}" in output
    record = PolicyRecord.load(path)
    assert len(record.sub_policies) == 5
    for sub_policy in record.sub_policies:
        for operation in sub_policy.operations:
            assert operation.type in output
    assert record.searched["dataset"] == "digits"
    assert record.searched["image_size"] == 8
    [journal_path] = (place.folder / "nni-experiments").glob("[!_]*/checkpoint/journal.jsonl")
    journal = read_journal(journal_path)
    assert len(journal.trials) == 4
    [recommended] = [trial for trial in journal.trials if trial.id == record.searched["trial"]]
    assert recommended.value == record.searched["score"]
    assert f"The policy of trial {recommended.id}: {path}" in output
    for trial in journal.trials:
        assert len(trial.curve) == 120
        assert trial.curve[-1] == trial.value
        assert 0.5 < trial.value < 1
        assert trial.seed == 0
        assert trial.started < trial.ended
    # the confirmation on the test images
    result = json.loads((place.folder / "best_policy.confirmation.json").read_text())
    assert result["n_test"] == 898
    assert [row["label"] for row in result["rows"]] == [
        "no augmentation", "crop + flip, then best policy", "best policy",
    ]  # fmt: skip
    for row in result["rows"]:
        assert len(row["accuracies"]) == 1
        assert f"{100 * row['mean']:.2f} %" in output
    assert "Undecided: the policy has" in output  # of one seed
    assert (journal_path.parent / "test_readings.jsonl").is_file()
