"""What a confirmation has finished, on disk, so that one that is interrupted goes on with it.

One file serves all confirmations of a folder: a training is found by a key of everything that decides it. The trained
networks lie beside it until they have predicted the test images.
"""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from types import TracebackType
from typing import Any

from tuun_da.engines.kept_lines import KeptLines
from tuun_da.errors import JournalError

TRAININGS_NAME = "confirm_trainings.jsonl"
NETWORKS_NAME = "confirm_networks"
FORMAT = "tuun_da trainings of a confirmation"


class KeptTrainings:
    """The finished trainings in ``folder``; with ``fresh`` none. Raises JournalError.

    ``run`` is a name for the file that no other has. The folder is locked for other confirmations until ``close``.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        header = {"run": secrets.token_hex(8)}
        path = folder / TRAININGS_NAME
        self._networks = folder / NETWORKS_NAME
        self._kept = KeptLines(path, format=FORMAT, what="record of finished trainings", header=header, drop_stump=True)
        try:
            if fresh:
                for file in self._networks.glob("*.pt*"):
                    file.unlink()
                self._kept.begin_anew(header)
            self._networks.mkdir(exist_ok=True)
            self.run = str(self._kept.header.get("run"))
            self._validation: dict[str, float] = {}
            self._tested: dict[str, tuple[list[int], list[int]]] = {}
            for number, record in enumerate(self._kept.records, 2):
                try:
                    self._note(record)
                except (KeyError, TypeError, ValueError):
                    raise JournalError(f"record of finished trainings {path} is damaged in line {number}") from None
        except OSError as error:
            self._kept.close()
            raise JournalError(f"folder {self._networks} cannot be used: {error.strerror}") from None
        except BaseException:
            self._kept.close()
            raise

    def validation(self, key: str) -> float | None:
        """The validation score of a training; None if it is not finished."""
        return self._validation.get(key)

    def tested(self, key: str) -> tuple[list[int], list[int]] | None:
        """What a training predicts of the test images, and what they are; None if it has not been asked."""
        return self._tested.get(key)

    def network(self, key: str) -> Path:
        """Where the state of a training lies until its network has predicted."""
        return self._networks / f"{key}.pt"

    def add_validation(self, key: str, label: str, score: float) -> None:
        """A training has finished. Raises JournalError."""
        self._add({"key": key, "label": label, "validation": score})

    def add_tested(self, key: str, predictions: list[int], labels: list[int]) -> None:
        """A trained network has predicted, and is not needed any more. Raises JournalError."""
        self._add({"key": key, "predictions": predictions, "labels": labels})
        with contextlib.suppress(OSError):
            self.network(key).unlink()

    def close(self) -> None:
        """Let another confirmation have the folder."""
        with contextlib.suppress(OSError):
            self._networks.rmdir()  # if it is empty
        self._kept.close()

    def __enter__(self) -> KeptTrainings:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, record: dict[str, Any]) -> None:
        self._kept.append(record)
        self._note(record)

    def _note(self, record: dict[str, Any]) -> None:
        key = str(record["key"])
        if "validation" in record:
            self._validation[key] = float(record["validation"])
        else:
            self._tested[key] = [int(x) for x in record["predictions"]], [int(x) for x in record["labels"]]
