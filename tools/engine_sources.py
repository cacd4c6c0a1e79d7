"""Prints the files of our Python modules that the engine's process imports: changed, they need a new one.

Called by `tools/deb`. I/O: imports the engine, which starts nothing.
"""

import sys

import overlayd.cli.daemon
import overlayd.daemon.engine
import overlayd.daemon.host  # noqa: F401  (loaded when the packets flow)


def sources() -> list[str]:
    """Paths of all modules of `overlayd` that are loaded now."""
    loaded = (module for name, module in sys.modules.items() if name.partition(".")[0] == "overlayd")
    files = {str(module.__file__) for module in loaded if getattr(module, "__file__", None)}
    return sorted(file for file in files if file.endswith(".py"))


if __name__ == "__main__":
    print("\n".join(sources()))
