"""Typed stub of the native module; `make check` compares it with the built one."""

from typing import final

__all__ = ["LinkEmulator", "version"]

def version() -> str:
    """The version of the engine, the same as the distribution's."""

@final
class LinkEmulator:
    """Links between interfaces of the calling thread's network namespace, running until `stop`."""

    def __new__(cls, config: str) -> LinkEmulator:
        """Start; ValueError for a faulty JSON `config`, OSError for an interface that cannot be opened."""

    def set(self, name: str, settings: str) -> None:
        """Change one direction while it runs; KeyError: unknown name, ValueError: faulty JSON `settings`."""

    def counters(self) -> str:
        """Counters of every direction, a JSON object by name."""

    def stop(self) -> None:
        """Stop carrying packets; OSError with what ended the links before, if anything did."""
