"""What the demo's end points write down, line by line, and how it is read back.

Pure; written by `endpoints`, read by `story`. All times are nanoseconds of the host's monotonic clock, which
all namespaces share: that is why one-way delays need no synchronisation.

    sent NUMBER SENT                      a probe left
    echo NUMBER SENT ARRIVED RETURNED     it came back: when it left, was at the far end, was back
    seen NUMBER SENT ARRIVED              the far end's own line about it
    got AT BYTES                          a download has so many bytes, in all
    end CODE BYTES SHA256                 it ended, with curl's exit code
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe that came back."""

    number: int
    sent_ns: int
    arrived_ns: int
    returned_ns: int

    @property
    def rtt_ns(self) -> int:
        return self.returned_ns - self.sent_ns


@dataclass(frozen=True, slots=True)
class Progress:
    """A download's bytes in all, at a moment."""

    at_ns: int
    total: int


@dataclass(frozen=True, slots=True)
class End:
    """How a download ended: curl's exit code (0: complete), its bytes and their SHA-256 in hex."""

    code: int
    total: int
    sha256: str


@dataclass(slots=True)
class Record:
    """Everything one end point has written so far.

    ``sent`` maps numbers to times. ``seen`` maps number and time sent, as several probers may count from
    zero, to the time of arrival. Duplicates are kept once, as they came first.
    """

    sent: dict[int, int] = field(default_factory=dict[int, int])
    echoes: dict[int, Probe] = field(default_factory=dict[int, Probe])
    seen: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    progress: list[Progress] = field(default_factory=list[Progress])
    end: End | None = None

    def read(self, lines: Iterable[str]) -> None:
        """Take complete lines, in their order; curl's complaints are passed over."""
        for line in lines:
            match line.split():
                case ["sent", number, sent]:
                    self.sent[int(number)] = int(sent)
                case ["echo", number, sent, arrived, returned]:
                    probe = Probe(int(number), int(sent), int(arrived), int(returned))
                    self.echoes.setdefault(probe.number, probe)
                case ["seen", number, sent, arrived]:
                    self.seen.setdefault((int(number), int(sent)), int(arrived))
                case ["got", at, total]:
                    self.progress.append(Progress(int(at), int(total)))
                case ["end", code, total, sha256]:
                    self.end = End(int(code), int(total), sha256)
                case _:
                    pass
