"""Ray Tune's search spaces as NNI's, and the parameters there and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.search.sample import Categorical, Domain, Float, Integer, LogUniform, Normal, Quantized, Uniform

from tuun_da.errors import SearchSpaceError

SEPARATOR = "/"  # of the names of nested parameters, as in Ray's own tables


@dataclass(frozen=True)
class RaySpace:
    """A search space of NNI's, and how its parameters look in a configuration of Ray's.

    ``integers`` are whole there, ``nested`` says that a/b stands for {"a": {"b": ...}}.
    """

    nni: Mapping[str, Any]
    integers: frozenset[str] = frozenset()
    nested: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> RaySpace:
        """The space of NNI's JSON, or of a ``param_space`` of Ray's, whose constants are left to Ray.

        Raises SearchSpaceError for what cannot be searched: grid_search, sample_from, domains inside of lists.

        >>> from ray import tune
        >>> RaySpace.of({"lr": tune.loguniform(1e-4, 1e-1), "net": {"width": tune.randint(8, 65)}}).nni
        {'lr': {'_type': 'loguniform', '_value': [0.0001, 0.1]}, 'net/width': {'_type': 'randint', '_value': [8, 65]}}
        """
        if config and all(isinstance(spec, Mapping) and {"_type", "_value"} <= spec.keys() for spec in config.values()):
            return cls(dict(config))
        found = dict(_domains(config, ""))
        integers = frozenset(name for name, domain in found.items() if isinstance(domain, Integer))
        return cls({name: _nni_of(name, domain) for name, domain in found.items()}, integers, nested=True)

    def to_config(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """NNI's parameters as Ray hands them to a trial."""
        config: dict[str, Any] = {}
        for name, value in params.items():
            *outer, last = name.split(SEPARATOR) if self.nested else [name]
            place = config
            for part in outer:
                place = place.setdefault(part, {})
            place[last] = round(value) if name in self.integers else value
        return config

    def to_nni(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Of a configuration, what was searched. Raises SearchSpaceError where something is missing."""
        return {name: self._look_up(config, name) for name in self.nni}

    def _look_up(self, config: Mapping[str, Any], name: str) -> Any:
        if name in config:
            return config[name]
        found: Any = config
        for part in name.split(SEPARATOR) if self.nested else [name]:
            if not isinstance(found, Mapping) or part not in found:
                raise SearchSpaceError(f"parameter {name} is missing, got {', '.join(map(str, config)) or 'none'}")
            found = found[part]
        return found


def _domains(config: Mapping[str, Any], outer: str) -> Iterator[tuple[str, Domain]]:
    """What is to be searched, by its name, at any depth."""
    for key, value in config.items():
        name = f"{outer}{key}"
        if isinstance(value, Domain):
            if SEPARATOR in str(key):
                raise SearchSpaceError(f"parameter {name}: a name must not contain {SEPARATOR!r}, which is for nesting")
            yield name, value
        elif isinstance(value, Mapping):
            if "grid_search" in value:
                raise SearchSpaceError(f"parameter {name} is a grid_search, which is no search space; use tune.choice")
            yield from _domains(value, f"{name}{SEPARATOR}")
        elif isinstance(value, list | tuple) and any(isinstance(entry, Domain | Mapping) for entry in value):
            inside = dict(_domains({str(place): entry for place, entry in enumerate(value)}, f"{name}{SEPARATOR}"))
            if inside:
                raise SearchSpaceError(f"parameter {name}: a domain inside of a list cannot be searched; use a dict")


def _nni_of(name: str, domain: Domain) -> dict[str, Any]:
    """The parameter of NNI's JSON. Raises SearchSpaceError."""
    sampler, step = domain.get_sampler(), None
    if isinstance(sampler, Quantized):
        sampler, step = sampler.get_sampler(), sampler.q
    if isinstance(domain, Categorical) and isinstance(sampler, Uniform) and step is None:
        return _spec("choice", *domain.categories)
    if isinstance(domain, Float) and isinstance(sampler, Normal):
        return _quantized("normal", [sampler.mean, sampler.sd], step)
    if isinstance(domain, Float) and isinstance(sampler, Uniform | LogUniform):
        kind = "loguniform" if isinstance(sampler, LogUniform) else "uniform"
        return _quantized(kind, [domain.lower, domain.upper], step)
    if isinstance(domain, Integer) and isinstance(sampler, Uniform) and step is None:
        return _spec("randint", domain.lower, domain.upper)
    if isinstance(domain, Integer) and isinstance(sampler, Uniform | LogUniform):
        kind = "qloguniform" if isinstance(sampler, LogUniform) else "quniform"
        step = step or 1
        # Ray's upper bound is exclusive, but inclusive from a step of 2 on.
        upper = domain.upper - 1 if step == 1 else domain.upper
        low, high = math.ceil(domain.lower / step) * step, math.floor(upper / step) * step
        return _spec("choice", low) if low == high else _spec(kind, low, high, step)
    raise SearchSpaceError(
        f"parameter {name} must be uniform, quniform, loguniform, qloguniform, randn, qrandn, randint, qrandint, "
        f"lograndint, qlograndint or choice of ray.tune; got {type(domain).__name__} {domain.domain_str}"
    )


def _quantized(kind: str, value: list[float], step: float | None) -> dict[str, Any]:
    return _spec(kind, *value) if step is None else _spec(f"q{kind}", *value, step)


def _spec(kind: str, *value: Any) -> dict[str, Any]:
    return {"_type": kind, "_value": list(value)}
