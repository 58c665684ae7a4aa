"""Reading ahead: while one picture is computed, the next one is read and decoded."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(tasks: Iterable[Callable[[], T]]) -> Generator[Future[T], None, None]:
    """What ``tasks`` return or raise, in order. While the caller works with one result, a thread computes the next."""
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[T] | None = None
        for task in tasks:
            following = pool.submit(task)
            if waiting is not None:
                yield waiting
            waiting = following
        if waiting is not None:
            yield waiting
