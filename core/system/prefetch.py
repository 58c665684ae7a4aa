"""Reading ahead: while one picture is computed, the next one is read and decoded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(tasks: Iterable[Callable[[], T]]) -> Generator[Future[T], None, None]:
    """What ``tasks`` return or raise, in order. While the caller works with one result, a thread computes the next."""
    with ThreadPoolExecutor(1) as pool:
        # Behind the last stands one that nobody waits for.
        futures = itertools.chain(map(pool.submit, tasks), [Future[T]()])
        for waiting, _ in itertools.pairwise(futures):
            yield waiting
