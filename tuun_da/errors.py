"""Every error that tuun_da raises on purpose: what was wrong, what was wanted, what came."""

from __future__ import annotations


class TuunDaError(Exception):
    """Base of all errors for which the user, not the program, has the remedy.

    Commands print its message without a traceback.
    """


class PolicyError(TuunDaError, ValueError):
    """An operation, a policy or a policy file that is not valid."""


class ProbeError(TuunDaError, ValueError):
    """A probe, or a probe file, that is not valid."""


class SearchSpaceError(TuunDaError, ValueError):
    """A search space, or parameters that do not belong to it."""


class JournalError(TuunDaError, ValueError):
    """A journal that cannot be read, or that belongs to another experiment."""


class ConfigError(TuunDaError, ValueError):
    """A setting with an unknown name or a value that it cannot take."""


class DataError(TuunDaError, ValueError):
    """Images or labels that cannot be used: missing, broken, of one class only, of the wrong shape."""


class TrainingError(TuunDaError, RuntimeError):
    """A training that cannot go on, for example because the loss is no longer a number."""


class ExperimentError(TuunDaError, RuntimeError):
    """An experiment that did not come to its end: all trials failed, the tuner died, NNI stalled."""
