"""Many codes at once mean what each of them means alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni_spaces import EVERY_TYPE_JSON, finite_specs, infinite_specs

from tuun_da.search.domains import Choice
from tuun_da.search.nni_types import domain_from_nni
from tuun_da.search.space import SearchSpace

_numbers = st.lists(st.integers(-5, 5) | st.floats(-1e6, 1e6), min_size=1, max_size=6)
number_choices = _numbers.map(lambda value: {"_type": "choice", "_value": value})
numeric_specs = infinite_specs | finite_specs.filter(lambda spec: spec["_type"] != "choice") | number_choices


@settings(max_examples=150, deadline=None)
@given(numeric_specs, st.integers(0, 2**32 - 1))
def test_values_are_what_decode_gives(spec, seed):
    domain = domain_from_nni("x", spec["_type"], spec["_value"])
    codes = domain.from_uniform(np.random.default_rng(seed).random(12)).reshape(3, 4)
    codes[0, :2] = domain.snap(np.array([0.0, 1.0]))
    expected = np.array([[domain.decode(float(code)) for code in row] for row in codes], dtype=np.float64)
    found = domain.values(codes)
    assert found.shape == codes.shape
    assert found.dtype == np.float64 or np.issubdtype(found.dtype, np.integer)
    np.testing.assert_allclose(found, expected, rtol=1e-13)  # exp of many numbers may differ in the last bit


@pytest.mark.parametrize("name", [name for name in EVERY_TYPE_JSON if name not in ("choice", "layer")])
def test_values_of_codes_outside_are_those_of_the_nearest(name):
    [column] = SearchSpace.from_nni({name: EVERY_TYPE_JSON[name]}).columns
    codes = np.array([-0.2, -1e-17, 1 + 1e-15, 1.3])
    expected = [column.domain.decode(float(code)) for code in codes]
    np.testing.assert_allclose(column.domain.values(codes), expected, rtol=1e-13)
    np.testing.assert_allclose(column.domain.values(codes[2:]), column.domain.decode(1.0))


@pytest.mark.parametrize("options", [["a"], [1, "a"], [0.5, True], [0.5, None], [[1]]])
def test_options_that_are_no_numbers_have_no_values(options):
    domain = Choice.of(options)
    assert domain.bounds is None
    with pytest.raises(ValueError, match="not all options are numbers"):
        domain.values(np.zeros(2))
