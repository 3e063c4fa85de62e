"""SearchSpace: every NNI search space, and the map between NNI's parameters and points that a surrogate can use.

A *point* is a float array (d,) with one *code* for each column. A column is one parameter, at any depth of nested
choices: a real one holds a code in [0, 1], spread by the prior; a categorical one holds the index of the option.
Columns of an option that is not taken hold a fixed code, so that they change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuun_da.data_files import shown
from tuun_da.errors import SearchSpaceError
from tuun_da.search.domains import Choice, Continuous, Domain, Floats
from tuun_da.search.nni_types import domain_from_nni, is_nested_choice

INACTIVE_REAL = 0.5
INACTIVE_CATEGORY = -1.0
KEY_DECIMALS = 12  # codes of the same value differ by rounding, decode and encode, in the last three or four digits


@dataclass(frozen=True)
class Column:
    """One dimension of a point. ``parent`` is (column, option) of the nested choice that it belongs to."""

    path: tuple[str, ...]
    domain: Domain
    parent: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The parameter's name; with nested choices the names from outside in, ``layer/size``."""
        return "/".join(self.path)

    @property
    def is_categorical(self) -> bool:
        return isinstance(self.domain, Choice)

    @property
    def categories(self) -> int:
        """Number of options; 0 for a real column."""
        return len(self.domain.options) if isinstance(self.domain, Choice) else 0

    @property
    def inactive_code(self) -> float:
        return INACTIVE_CATEGORY if self.is_categorical else INACTIVE_REAL


@dataclass(frozen=True)
class SearchSpace:
    """A search space. Make one with ``from_nni``. Parents stand before their children in ``columns``."""

    columns: tuple[Column, ...]

    @classmethod
    def from_nni(cls, json: Mapping[str, Any]) -> SearchSpace:
        """The space that NNI's JSON describes. Raises SearchSpaceError."""
        columns: list[Column] = []
        _add_columns(columns, json, (), None)
        if not columns:
            raise SearchSpaceError("a search space must have at least one parameter, got none")
        return cls(tuple(columns))

    @cached_property
    def children(self) -> Mapping[tuple[int, int] | None, tuple[int, ...]]:
        """The columns of each option of each nested choice; those of the outermost level under None."""
        found: dict[tuple[int, int] | None, list[int]] = {None: []}
        for i, column in enumerate(self.columns):
            found.setdefault(column.parent, []).append(i)
        return {parent: tuple(columns) for parent, columns in found.items()}

    @cached_property
    def size(self) -> int | None:
        """How many settings there are; None if there is no end to them.

        Of qnormal and qlognormal, the values within 6 standard deviations count.
        """
        return self._size_of(None)

    def validate(self, params: Mapping[str, Any]) -> None:
        """Raises SearchSpaceError with the name of the first parameter that is wrong, what was wanted and what came."""
        self.encode(params)

    def encode(self, params: Mapping[str, Any]) -> Floats:
        """The point (d,) of ``params``. Raises SearchSpaceError as ``validate`` does."""
        point = np.array([column.inactive_code for column in self.columns])
        self._encode_level(point, params, None, "")
        return point

    def decode(self, point: Floats) -> dict[str, Any]:
        """The parameters, as NNI hands them to a trial, at the point (d,) or at the valid point nearest to it."""
        params: dict[str, Any] = {}
        taken: dict[tuple[int, int] | None, dict[str, Any]] = {None: params}
        for i, (column, code) in enumerate(zip(self.columns, point, strict=True)):
            if column.parent not in taken:
                continue
            value = column.domain.decode(float(code))
            if isinstance(column.domain, Choice) and column.domain.nested:
                value = {"_name": value}
                taken[i, int(column.domain.encode(value["_name"]))] = value
            taken[column.parent][column.path[-1]] = value
        return params

    def middle(self) -> dict[str, Any]:
        """The setting with every parameter at the middle of its prior."""
        return self.decode(self.from_uniform(np.full((1, len(self.columns)), 0.5))[0])

    def snap(self, points: Floats) -> Floats:
        """The nearest valid points (n, d): codes on their grid, inactive columns at their fixed code."""
        snapped = np.column_stack([column.domain.snap(points[:, i]) for i, column in enumerate(self.columns)])
        return self._deactivate(snapped)

    def from_uniform(self, uniforms: Floats) -> Floats:
        """Points (n, d) that are distributed as NNI's types declare, from numbers (n, d) uniform in [0, 1)."""
        return self._deactivate(self.columns_from_uniform(uniforms))

    def columns_from_uniform(self, uniforms: Floats) -> Floats:
        """As ``from_uniform``, but with a draw in every column (n, d), whether its option is taken or not."""
        return np.column_stack([column.domain.from_uniform(uniforms[:, i]) for i, column in enumerate(self.columns)])

    def active(self, points: Floats) -> NDArray[np.bool_]:
        """Which columns of the points (n, d), which must be snapped, belong to options that are taken: (n, d)."""
        active = np.ones(points.shape, dtype=np.bool_)
        for i, column in enumerate(self.columns):
            if column.parent is not None:
                parent, option = column.parent  # an inactive parent holds -1, which is no option
                active[:, i] = points[:, parent] == option
        return active

    def sample_points(self, n: int, rng: np.random.Generator) -> Floats:
        """Points (n, d) drawn from the prior."""
        return self.from_uniform(rng.random((n, len(self.columns))))

    def sample(self, n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """n settings drawn independently from the distributions that NNI's types declare."""
        return [self.decode(point) for point in self.sample_points(n, rng)]

    def keys(self, points: Floats) -> list[bytes]:
        """For each of the points (n, d), which must be snapped, a key that only points with the same values share."""
        return [row.tobytes() for row in np.round(points, KEY_DECIMALS) + 0.0]  # + 0.0 turns -0.0 into 0.0

    def key(self, params: Mapping[str, Any]) -> bytes:
        """The same for all ways to write the same setting. Raises SearchSpaceError as ``validate`` does."""
        return self.keys(self.encode(params)[None, :])[0]

    def grid(self) -> Iterator[Floats]:
        """Every point of a finite space, once. Raises ValueError if the space is infinite."""
        if self.size is None:
            raise ValueError("a space with a continuous parameter cannot be listed")
        levels = [0] * len(self.columns)
        while True:
            point, active = self._point_of_levels(levels)
            yield point
            for i in reversed(active):
                if levels[i] + 1 < (self.columns[i].domain.levels or 0):
                    levels[i] += 1
                    break
                levels[i] = 0
            else:
                return

    def _point_of_levels(self, levels: Sequence[int]) -> tuple[Floats, list[int]]:
        """The point with these levels, and the columns that are active in it."""
        point = np.empty(len(self.columns))
        taken: set[tuple[int, int] | None] = {None}
        active = []
        for i, column in enumerate(self.columns):
            domain = column.domain
            if column.parent not in taken or isinstance(domain, Continuous):  # no finite space has the latter
                point[i] = column.inactive_code
                continue
            point[i] = domain.code_of_level(levels[i])
            taken.add((i, levels[i]))
            active.append(i)
        return point, active

    def _deactivate(self, points: Floats) -> Floats:
        """Set the columns of options that are not taken to their fixed codes, in place."""
        for i, column in enumerate(self.columns):
            if column.parent is not None:
                parent, option = column.parent  # an inactive parent holds -1, which is no option
                points[points[:, parent] != option, i] = column.inactive_code
        return points

    def _size_of(self, parent: tuple[int, int] | None) -> int | None:
        size = 1
        for i in self.children.get(parent, ()):
            domain = self.columns[i].domain
            levels = domain.levels
            if isinstance(domain, Choice) and domain.nested:
                sizes = [self._size_of((i, option)) for option in range(len(domain.options))]
                levels = None if None in sizes else sum(size or 0 for size in sizes)
            if levels is None:
                return None
            size *= levels
        return size

    def _encode_level(self, point: Floats, params: Any, parent: tuple[int, int] | None, outer: str) -> None:
        inside = parent is not None  # of a choice, whose name may be empty
        what = f"parameter {outer}" if inside else "parameters"
        if not isinstance(params, Mapping):
            raise SearchSpaceError(f"{what} must be a dict of names and values, got {shown(params)}")
        here = {self.columns[i].path[-1]: i for i in self.children.get(parent, ())}
        prefix = f"{outer}/" if inside else ""
        for name in params:
            if name not in here and not (name == "_name" and inside):
                raise SearchSpaceError(f"parameter {prefix}{name} is not in the search space; it has {_listed(here)}")
        for name, i in here.items():
            if name not in params:
                raise SearchSpaceError(f"parameter {prefix}{name} is missing, got {_listed(params)}")
            column, value = self.columns[i], params[name]
            if isinstance(column.domain, Choice) and column.domain.nested:
                if not isinstance(value, Mapping) or "_name" not in value:
                    raise SearchSpaceError(f"parameter {column.name} must be a dict with a _name, got {shown(value)}")
                wanted = column.domain.wanted(value["_name"])
                if wanted is not None:
                    raise SearchSpaceError(
                        f"_name of parameter {column.name} must {wanted}; got {shown(value['_name'])}"
                    )
                point[i] = column.domain.encode(value["_name"])
                self._encode_level(point, value, (i, int(point[i])), column.name)
            else:
                wanted = column.domain.wanted(value)
                if wanted is not None:
                    raise SearchSpaceError(f"parameter {column.name} must {wanted}; got {shown(value)}")
                point[i] = column.domain.encode(value)


def _add_columns(columns: list[Column], json: Any, outer: tuple[str, ...], parent: tuple[int, int] | None) -> None:
    """Append the columns of one level of NNI's JSON, and of the levels inside it."""
    what = f"option of parameter {'/'.join(outer)}" if outer else "search space"
    if not isinstance(json, Mapping):
        raise SearchSpaceError(f"{what} must be a dict of parameters, got {shown(json)}")
    for name, spec in json.items():
        if outer and name == "_name":
            continue
        if not isinstance(name, str) or name == "_name":
            raise SearchSpaceError(
                f"names of parameters must be strings other than '_name', got {shown(name)} in the {what}"
            )
        path = (*outer, name)
        full_name = "/".join(path)
        if not isinstance(spec, Mapping) or "_type" not in spec or "_value" not in spec:
            raise SearchSpaceError(f"parameter {full_name} must be a dict with _type and _value, got {shown(spec)}")
        kind, value = spec["_type"], spec["_value"]
        if not is_nested_choice(kind, value):
            columns.append(Column(path, domain_from_nni(full_name, kind, value), parent))
            continue
        try:
            options = Choice.of([entry["_name"] for entry in value], nested=True)
        except ValueError as error:
            raise SearchSpaceError(f"_name in choice {full_name} must be a JSON value: {error}") from None
        if len(options.options) < len(value):
            raise SearchSpaceError(f"options of choice {full_name} must have different _names, got {shown(value)}")
        here = len(columns)
        columns.append(Column(path, options, parent))
        for option, entry in enumerate(value):
            _add_columns(columns, entry, path, (here, option))


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) or "none"
