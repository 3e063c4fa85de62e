"""Where the files of an experiment lie."""

from __future__ import annotations

from pathlib import Path

from tuun_da.errors import ConfigError

FOLDER = "tuun_da_search"
"""In the working folder: where searches without NNI keep what they do."""
POLICY_NAME = "best_policy.json"
"""The policy file of an experiment, unless told otherwise."""


def find_journal(name: str) -> Path:
    """The journal of an experiment: an NNI id, a folder, or the file itself. Raises ConfigError."""
    candidates = (
        Path(name),
        Path(name, "journal.jsonl"),
        Path(name, "checkpoint", "journal.jsonl"),
        Path("~/nni-experiments").expanduser() / name / "checkpoint" / "journal.jsonl",
    )
    for path in candidates:
        if path.is_file():
            return path
    raise ConfigError(f"experiment {name!r} has no journal; looked for {', '.join(map(str, candidates))}")


def confirmation_path(policy: str) -> str:
    """Where the confirmation of a policy file is written, unless told otherwise."""
    return str(Path(policy).with_suffix(".confirmation.json"))
