"""A TCP proxy that makes a server behind it slow: every answer comes ``delay_s`` later."""

import asyncio
import threading
from types import TracebackType
from typing import Self


class SlowProxy:
    """Listens on ``port`` of the loopback and passes everything on to ``target_port``."""

    def __init__(self, target_port: int, port: int) -> None:
        self.delay_s = 0.0
        self.url = f"redis://127.0.0.1:{port}/0"
        self._target_port = target_port
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), name="slow-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                tasks.add(group.create_task(self._serve(reader, writer)))

            tasks: set[asyncio.Task[None]] = set()
            server = await asyncio.start_server(accept, "127.0.0.1", self._port)
            self._listening.set()
            await self._ending.wait()
            server.close()
            for task in tasks:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind: asyncio.StreamWriter | None = None
        try:
            answers, behind = await asyncio.open_connection("127.0.0.1", self._target_port)
            asking = asyncio.create_task(self._pass(reader, behind, slow=False))
            try:
                await self._pass(answers, writer, slow=True)
            finally:
                asking.cancel()
        except OSError:
            pass
        finally:
            for end in (writer, behind):
                if end is not None:
                    end.close()

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, slow: bool) -> None:
        try:
            while data := await source.read(65_536):
                if slow and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                target.write(data)
                await target.drain()
        except OSError:
            return
