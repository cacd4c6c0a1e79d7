"""A lab made three times worse, to see that its check can fail."""

from dataclasses import replace

import msgspec

from sim.lab import runner
from sim.lab.impair import Bursts, Settings
from sim.lab.state import LabState

FACTOR = 3


def worse(settings: Settings) -> Settings:
    """One direction of a link, everything about it ``FACTOR`` times as bad. Pure."""
    return replace(
        settings,
        delay_ns=settings.delay_ns * FACTOR,
        jitter_ns=settings.jitter_ns * FACTOR,
        loss_ratio=min(1.0, settings.loss_ratio * FACTOR),
        bursts=_longer(settings.bursts) if settings.bursts else None,
        rate_bps=settings.rate_bps // FACTOR if settings.rate_bps else None,
        mtu=settings.mtu // FACTOR if settings.mtu else None,
    )


def worsen(lab: LabState) -> None:
    """Make every link of a running lab worse than its file says. I/O."""
    for link in lab.links:
        pair = link.impairments
        bad = replace(pair, there=worse(pair.there), back=worse(pair.back))
        runner.put_link(lab.name, msgspec.structs.replace(link, impairments=bad))


def restore(lab: LabState) -> None:
    """Make every link what it was when ``lab`` was read. I/O."""
    for link in lab.links:
        runner.put_link(lab.name, link)


def _longer(bursts: Bursts) -> Bursts:
    return replace(bursts, mean_bad_ns=bursts.mean_bad_ns * FACTOR)
