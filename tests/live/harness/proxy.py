"""A TCP proxy that can do what networks do: lose the answers, or let nothing through."""

import asyncio
import threading
from enum import Enum

from .procs import Failed, free_port


class Way(Enum):
    # Everything passes.
    OPEN = "open"
    # What the client sends passes; what comes back is lost. Connections that lost something are cut afterwards.
    MUTE = "mute"
    # Nothing passes in either direction until it is open again; connections stay up.
    FROZEN = "frozen"
    # Connections are cut, and new ones at once again.
    CUT = "cut"


class Proxy:
    def __init__(self, port: int) -> None:
        """Stands before `port` of this machine. Open."""
        self._to = port
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        # Bytes of answers that were lost.
        self.lost = 0
        self._way = Way.OPEN
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        listening = threading.Event()
        threading.Thread(target=self._serve, args=(listening,), daemon=True).start()
        if not listening.wait(10):
            raise Failed(f"the proxy before port {port} does not listen")

    def _serve(self, listening: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._changed = asyncio.Condition()
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", self.port))
        listening.set()
        self._loop.run_forever()
        server.close()

    def be(self, way: Way) -> None:
        """From the return of this on, every byte goes this way."""
        asyncio.run_coroutine_threadsafe(self._be(way), self._loop).result(10)

    async def _be(self, way: Way) -> None:
        async with self._changed:
            self._way = way
            self._changed.notify_all()
        for link in list(self._links):
            if way is Way.CUT or (link.lossy and way is not Way.MUTE):
                link.cut()

    def close(self) -> None:
        self.be(Way.CUT)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._way is Way.CUT:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, far_writer)
        self._links.add(link)
        try:
            await asyncio.gather(self._pump(reader, far_writer, link, answers=False),
                                 self._pump(far_reader, writer, link, answers=True))
        finally:
            link.cut()
            self._links.discard(link)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: "_Link", answers: bool) -> None:
        try:
            while data := await reader.read(1 << 16):
                if self._way is Way.FROZEN:
                    async with self._changed:
                        await self._changed.wait_for(lambda: self._way is not Way.FROZEN)
                if answers and (link.lossy or self._way is Way.MUTE):
                    link.lossy = True
                    self.lost += len(data)
                    continue
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        link.cut()


class _Link:
    """A connection through the proxy."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        # Has lost bytes: what came after them would make no sense.
        self.lossy = False

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
