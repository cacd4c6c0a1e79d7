"""An engine as far as its socket goes: welcomes an agent, accepts snapshots, says what it is told to."""

import asyncio
from pathlib import Path

import msgspec

from overlayd.protocol import engine
from overlayd.protocol.framing import FrameReader, encode_frame


class FakeEngine:
    """``snapshots`` collects what was pushed; ``say`` sends an event to the agent that is connected."""

    def __init__(self, path: Path, public_key: str = "01" * 32) -> None:
        self.snapshots: list[engine.Snapshot] = []
        self.connections = 0
        self._path = path
        self._public_key = public_key
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self._path))

    async def stop(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    def say(self, event: engine.FromEngine) -> None:
        assert self._writer is not None
        self._writer.write(encode_frame(msgspec.json.encode(event)))

    async def pushed(self, count: int) -> engine.Snapshot:
        """Wait for the ``count``-th snapshot."""
        async with asyncio.timeout(120):
            while len(self.snapshots) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.snapshots[count - 1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.connections += 1
        frames = FrameReader()
        decoder = msgspec.json.Decoder(engine.ToEngine)
        while data := await reader.read(65536):
            for frame in frames.feed(data):
                match decoder.decode(frame):
                    case engine.Hello():
                        generation = self.snapshots[-1].generation if self.snapshots else 0
                        sockets = (engine.EngineUplink("isp1", "127.0.0.1", 51900),)
                        self.say(
                            engine.Welcome(
                                engine.PROTOCOL, "0", self._public_key, 1, generation, "overlay0", sockets
                            )
                        )
                    case engine.Apply(snapshot):
                        self.snapshots.append(snapshot)
                        self.say(engine.Applied(snapshot.generation))
                        self._changed.set()
        writer.close()
