"""One call of a guided search: what was asked, where it lies, when it began, and whom it tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tuun_da.api.guided_plan import ExperimentFolder, GuidedRequest
from tuun_da.api.guided_text import Say


@dataclass(frozen=True)
class GuidedCall:
    """``begun`` is when it began by its ``clock``, in seconds."""

    request: GuidedRequest
    files: ExperimentFolder
    tell: Say
    begun: float
    clock: Callable[[], float] = time.monotonic

    def say(self, text: str) -> None:
        """Tell the user a line, or several."""
        self.tell(text, False)

    def passing(self, text: str) -> None:
        """Tell the user how far it is: the next line may take the place of this one."""
        self.tell(text, True)

    @property
    def seconds_passed(self) -> float:
        """Since it began."""
        return self.clock() - self.begun
