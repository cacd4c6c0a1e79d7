"""Where the metrics are served now, if anywhere. I/O: `overlayd.daemon.metrics_server`, loaded where wanted.

Called by `overlayd.daemon.agent`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from overlayd.daemon.errors import StartError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from overlayd.daemon.metrics_server import MetricsServer


class MetricsPlace:
    """Serves what ``collect`` gives at one place at most, and moves."""

    def __init__(self, collect: "Callable[[], list[Metric]]") -> None:
        self._collect = collect
        self._place: tuple[str, int] | None = None
        self._server: MetricsServer | None = None

    async def move(self, place: tuple[str, int] | None) -> None:
        """Listen at ``place``; None: nowhere. Raises :class:`StartError`, and then nothing has changed."""
        if place == self._place:
            return
        fresh = None
        if place is not None:
            if self._place is not None and self._place[1] == place[1]:
                await self._swap(self._place, place)
                return
            fresh = await self._listen(place)
        await self.close()
        self._place, self._server = place, fresh

    async def close(self) -> None:
        """Listen nowhere."""
        if self._server is not None:
            await self._server.close()
        self._place, self._server = None, None

    async def _swap(self, before: tuple[str, int], place: tuple[str, int]) -> None:
        """Let go first: another address of the same port may hold this one."""
        await self.close()
        try:
            self._place, self._server = place, await self._listen(place)
        except StartError:
            self._place, self._server = before, await self._listen(before)
            raise

    async def _listen(self, place: tuple[str, int]) -> "MetricsServer":
        from overlayd.daemon.metrics_server import MetricsServer  # costs nothing where it is not wanted

        server = MetricsServer(*place, self._collect)
        await server.start()
        return server
