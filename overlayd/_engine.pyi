"""Typed stub of the native module; `make check` compares it with the built one."""

__all__ = ["version"]

def version() -> str:
    """The version of the engine, the same as the distribution's."""
