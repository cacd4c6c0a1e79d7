"""Prints the datagrams of a capture: `python -m tests.dissector capture.pcap keys.jsonl`."""

import argparse
from pathlib import Path

from tests.dissector import capture
from tests.dissector.keys import Keys


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.dissector", description=__doc__)
    parser.add_argument("capture", type=Path, help="pcap or pcapng of an underlay")
    parser.add_argument("keys", type=Path, nargs="?", help="key log of an engine: JSON lines")
    parser.add_argument("--port", type=int, help="only datagrams from or to this UDP port")
    arguments = parser.parse_args()
    keys = Keys.read(arguments.keys) if arguments.keys else Keys({})
    for line in capture.lines(arguments.capture, keys, arguments.port):
        print(line)


if __name__ == "__main__":
    main()
