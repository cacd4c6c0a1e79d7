"""Probes ask what they are told to ask, and say what came of it."""

import asyncio
from typing import Any

import msgspec

from overlayd.protocol.pod import Container, Probe
from overlayd.workload.checks import look
from overlayd.workload.messages import Look, Probed, RunId
from tests.overlayd.workload.pods import main_of


class Shell:
    async def execute(
        self, id: RunId, attempt: int, command: tuple[str, ...], timeout_s: float
    ) -> tuple[int, str]:
        if command == ("hang",):
            await asyncio.sleep(60)
        return int(command[0]), "said\n"


def looked(probe: dict[str, Any], answer: bytes | None = None) -> Probed:
    """Carry out a probe at a server that says ``answer`` to everybody."""

    async def run() -> Probed:
        asked: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if answer is not None:
                asked.append(await reader.readuntil(b"\r\n"))
                writer.write(answer)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            container = msgspec.convert(
                {"name": "main", "ports": [{"name": "web", "containerPort": 80, "hostPort": port}]}, Container
            )
            command = Look(main_of(), 0, "liveness", msgspec.convert(probe, Probe), container, "127.0.0.1")
            probed = await look(command, Shell())
        assert not asked or asked == [b"GET /healthz HTTP/1.1\r\n"]
        return probed

    return asyncio.run(run())


def test_http_is_well_from_200_to_399() -> None:
    get = {"httpGet": {"port": "web", "path": "/healthz"}}
    for code, well in ((200, True), (204, True), (302, True), (404, False), (500, False)):
        probed = looked(get, b"HTTP/1.1 %d x\r\n\r\n" % code)
        assert probed.ok == well and (well or probed.message == f"HTTP {code}")


def test_what_does_not_speak_http_is_not_well() -> None:
    probed = looked({"httpGet": {"port": 80, "path": "healthz"}}, b"SSH-2.0-x\r\n")
    assert not probed.ok and "not HTTP" in probed.message
    assert not looked({"httpGet": {"port": 80, "path": "/healthz"}}, b"").ok


def test_tcp_is_well_if_somebody_listens() -> None:
    assert looked({"tcpSocket": {"port": "web"}}).ok
    refused = looked({"tcpSocket": {"port": 1}})
    assert not refused.ok and "refused" in refused.message.lower()


def test_a_command_is_well_if_it_ends_with_0_in_time() -> None:
    assert looked({"exec": {"command": ["0"]}}).ok
    assert looked({"exec": {"command": ["3"]}}).message == "exit 3: said"
    assert looked({"exec": {"command": ["hang"]}}).message == "no answer within 1 s"


def test_a_port_that_is_not_there_is_told() -> None:
    assert looked({"tcpSocket": {"port": "nosuch"}}).message == "main has no port 'nosuch'"
