"""Images with equal pixels, found by their fingerprints."""

from __future__ import annotations

import numpy as np

from tuun_da.training.data_facts import Copies
from tuun_da.training.data_look import Look


def copies_in(look: Look) -> tuple[Copies, ...]:
    """All sets of images with equal pixels, those with several labels first, then those in several splits."""
    order = np.argsort(look.fingerprints, kind="stable")
    ordered = look.fingerprints[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    stops = np.append(starts[1:], len(ordered))
    found = []
    for start, stop in zip(starts, stops, strict=True):
        if stop - start > 1:
            numbers = np.sort(order[start:stop])
            found.append((
                int(numbers[0]),
                Copies(
                    images=tuple(look.name_of(number) for number in numbers),
                    classes=tuple(look.class_names[label] for label in np.unique(look.labels[numbers])),
                    splits=tuple(look.splits[split] for split in np.unique(look.split_of[numbers])),
                ),
            ))  # fmt: skip
    found.sort(key=lambda one: (-len(one[1].classes), -len(one[1].splits), one[0]))
    return tuple(copies for _, copies in found)
