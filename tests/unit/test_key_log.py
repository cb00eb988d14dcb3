"""A log of keys gives each key the number of its first addition, however keys were added."""

from __future__ import annotations

import numpy as np

from vecver.digest import text_key
from vecver.key_log import KeyLog, are_distinct


def keys_of(*names: str) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(map(text_key, names)), np.uint8).reshape(-1, 16)


def test_keys_added_one_by_one_and_together() -> None:
    log = KeyLog()
    assert (log.add(text_key("a"), 5), log.add(text_key("a"), 6), len(log)) == (5, 5, 1)
    for start in range(0, 90, 9):
        names = [str(number) for number in range(start, start + 9)]
        log.add_all(keys_of(*names), np.arange(start, start + 9))
    assert log.numbers_of(keys_of("0", "no", "89", "a", "44")).tolist() == [0, -1, 89, 5, 44]
    assert log.add(text_key("89"), 1) == 89 and text_key("44") in log and text_key("no") not in log and 3 not in log
    assert len(log) == len(log.keys()) == 91 and set(log) == {*map(text_key, ["a", *map(str, range(90))])}


def test_nothing_was_added() -> None:
    log = KeyLog()
    log.add_all(keys_of())
    assert log.numbers_of(keys_of("a")).tolist() == [-1] and log.keys().shape == (0, 16) and list(log) == []
    assert log.numbers_of(keys_of()).tolist() == []


def test_keys_that_begin_alike() -> None:
    keys = np.zeros((4, 16), np.uint8)
    keys[:, 15] = range(4)
    log = KeyLog()
    log.add_all(keys[:3], np.arange(3))
    assert log.numbers_of(keys).tolist() == [0, 1, 2, -1]
    assert are_distinct(keys) and not are_distinct(keys[[0, 1, 0]]) and are_distinct(keys[:0])
