"""Reading ahead changes when batches are read, and nothing else."""

import threading

import pytest

from un_lightning.data.ahead import Ahead


class Slow:
    """Batches that note who asks for them."""

    def __init__(self, count, broken=None):
        self.count, self.broken = count, broken
        self.asked = []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append((index, threading.current_thread() is threading.main_thread()))
        if index == self.broken:
            raise OSError(f"batch {index} cannot be read")
        return 10 * index


def test_each_batch_is_read_once_and_in_order():
    batches = Slow(5)
    ahead = Ahead(batches)
    assert [ahead[index] for index in range(len(ahead))] == [0, 10, 20, 30, 40]
    assert batches.asked == [(0, True), (1, False), (2, False), (3, False), (4, False)]


def test_a_batch_is_begun_before_it_is_asked_for():
    batches = Slow(3)
    ahead = Ahead(batches)
    ahead[0]
    ahead.thread.submit(lambda: None).result()
    assert [index for index, _ in batches.asked] == [0, 1]


def test_any_other_order_is_as_good():
    ahead = Ahead(Slow(4))
    assert [ahead[index] for index in (2, 0, 3, 3, 1)] == [20, 0, 30, 30, 10]


def test_an_error_comes_with_its_batch():
    ahead = Ahead(Slow(3, broken=1))
    assert ahead[0] == 0
    with pytest.raises(OSError, match="batch 1 cannot be read"):
        ahead[1]
