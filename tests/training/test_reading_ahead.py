"""What is made ahead comes in order, errors in their place, and the thread ends with the one who takes."""

from __future__ import annotations

import threading
import time

import pytest

from tuun_da.training.reading_ahead import read_ahead


@pytest.fixture(autouse=True)
def _no_thread_stays():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
@pytest.mark.parametrize("depth", [1, 3])
def test_all_come_in_order(count, depth):
    assert list(read_ahead(iter(range(count)), depth)) == list(range(count))


def test_they_are_made_in_another_thread_and_no_more_ahead_than_said():
    made = []

    def items():
        for number in range(50):
            made.append(threading.current_thread())
            yield number

    ahead = read_ahead(items(), 3)
    assert not made
    for taken in range(10):
        assert next(ahead) == taken
        until(lambda n=taken: len(made) >= n + 1 + 3)  # it does go ahead
        time.sleep(0.01)
        assert len(made) <= taken + 1 + 3 + 1
    ahead.close()
    assert threading.current_thread() not in made


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_comes_in_its_place(error):
    class Items:
        def __init__(self):
            self.count = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.count += 1
            if self.count == 3:
                raise error("x")
            return self.count

    ahead = read_ahead(Items(), 2)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(error):
        next(ahead)


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("depth", [1, 2])
def test_a_loop_that_is_left_ends_the_thread(after, depth):
    for _ in range(30):  # the thread may be anywhere
        for number in read_ahead(iter(range(10**9)), depth):
            if number == after:
                break


def test_a_loop_that_raises_ends_the_thread_before_the_error_is_seen():
    before = threading.active_count()

    def consume():
        for number in read_ahead(iter(range(10**9)), 2):
            if number == 3:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    assert threading.active_count() == before
