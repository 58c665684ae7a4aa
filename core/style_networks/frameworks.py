"""The framework that a style network is computed with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from isostyle import registry
from isostyle.errors import IsostyleError
from isostyle.interface import Backend


@dataclass(frozen=True)
class Framework:
    """A backend that is imported, on one of its devices."""

    backend: Backend
    device: str
    threads: int

    def __str__(self) -> str:
        plural = "s" * (self.threads > 1)
        return f"backend {self.backend.name} {self.backend.version()} on {self.device}, {self.threads} thread{plural}"

    @property
    def about(self) -> dict[str, str]:
        """Plain JSON."""
        return {"name": self.backend.name, "version": self.backend.version(), "device": self.device}

    @contextlib.contextmanager
    def failures(self, at: str, less_memory: str) -> Iterator[None]:
        """Turn what the backend raises while this lasts into one sentence, which says what ``at``, and how to need
        ``less_memory``.

        Raises:
            FrameworkFailure: instead of it.
        """
        try:
            yield
        except IsostyleError:
            raise
        except Exception as error:
            raise registry.failure(self.backend.name, at, error, less_memory) from error


def load(backend: str, device: str, threads: int | None) -> Framework:
    """Import a backend.

    Raises:
        InputError: there is no such backend or device, or no framework.
    """
    count = registry.default_threads() if threads is None else threads
    found = registry.load(backend, count)
    return Framework(found, registry.choose_device(device, found.devices(), found.name), count)
