"""What goes on at one moment, for `overlayctl top`: links with their rates, and the paths in use. Pure.

Called by `overlayd.daemon.questions`.
"""

from collections.abc import Iterator

from overlayd.agent.view import View
from overlayd.model.ids import LinkId, NodeId
from overlayd.protocol import engine, local


def busy(view: View) -> local.Top:
    """Return all links, those that carry most first, and all paths that traffic takes."""
    links = sorted(_links(view), key=lambda row: (-((row.out_bps or 0) + (row.in_bps or 0)), row.peer))
    running = view.agent.engine
    return local.Top(view.unix, tuple(links), tuple(_paths(view)), running.interface if running else None)


def _links(view: View) -> Iterator[local.TopLink]:
    agent, now = view.agent, view.now
    for number, report in agent.estimator.links().items():
        key = agent.tables.keys.get(number)
        if key is None:
            continue  # gone from the tables; a last report is on its way
        estimate = agent.estimator.link(number, now)
        rates = agent.estimator.rates(number, now)
        yield local.TopLink(
            peer=view.name(NodeId(report.peer)),
            uplink=key.uplink,
            remote=report.remote,
            up=agent.estimator.is_up(number),
            in_use=agent.tables.best_link(NodeId(report.peer)) == number,
            out_bps=rates and rates[0],
            in_bps=rates and rates[1],
            budget_bps=report.budget_bps,
            rtt_ms=estimate.rtt_short_ms if estimate else None,
            loss_out_ratio=estimate.loss_ratio if estimate else None,
            loss_in_ratio=report.loss_in_ratio if report.samples else None,
            classes=tuple(_classes(view, number, report)),
        )


def _classes(view: View, number: LinkId, report: engine.LinkReport) -> Iterator[local.TopClass]:
    waiting = {queue.class_: queue.waiting_bytes for queue in report.queues}
    known = {repair.class_ for repair in report.repair} | waiting.keys()
    for class_id in sorted(known):
        if class_id >= len(view.agent.classes):
            continue
        figures = view.agent.estimator.repair(number, class_id, view.now)
        coded = figures.repair_ratio if figures else None
        again = figures.retransmitted_ratio if figures else None
        yield local.TopClass(
            service=view.class_name(class_id),
            lost_ratio=figures.lost_ratio if figures else None,
            redundancy_ratio=None if coded is None or again is None else coded + again,
            waiting_bytes=waiting.get(class_id, 0),
        )


def _paths(view: View) -> Iterator[local.TopPath]:
    agent = view.agent
    for destination, class_id in sorted(agent.estimator.in_use(view.now)):
        path = agent.estimator.active_path(destination, class_id, view.now)
        if path is None or class_id >= len(agent.classes):
            continue
        report = agent.estimator.path_report(destination, class_id, path, view.now)
        rtt_ms, loss_ratio = view.measured(destination, class_id, path)
        yield local.TopPath(
            destination=view.name(destination),
            service=view.class_name(class_id),
            path=view.names(path),
            alive=bool(report and report.alive),
            rtt_ms=rtt_ms,
            loss_ratio=loss_ratio,
        )
