"""The ASGI application: routes to handlers, errors to JSON, a life from start to drained."""

import time

import structlog

from contracts import Clock, InvalidInputError, SystemClock, UnavailableError
from serving.config import ServerConfig
from serving.gather import ReaderFactory
from serving.health import Life
from serving.http import (
    ClientGoneError,
    Receive,
    Request,
    RequestError,
    Response,
    Router,
    Scope,
    Send,
    error_response,
)
from serving.wiring import Preloaded, Report, preload, running
from stores import OnlineReader

_log = structlog.get_logger("serving.app")
_STARTING = error_response(503, "starting", "the server is starting: try again in a moment", ((b"retry-after", b"1"),))


class App:
    """One server's ASGI application; call ``create_app`` to make it."""

    def __init__(
        self,
        config: ServerConfig,
        preloaded: Preloaded,
        clock: Clock,
        make_reader: ReaderFactory = OnlineReader,
        report: Report | None = None,
    ) -> None:
        """Keep what start-up needs; ``report`` is told now and then how the server is."""
        self._make_reader = make_reader
        self._config = config
        self._preloaded = preloaded
        self._clock = clock
        self._router: Router | None = None
        self.metrics = preloaded.metrics
        self._report = report
        self._life = Life()
        self._log_every = config.access_log_every
        self._answered = 0

    def drain(self) -> None:
        """Say at /readyz that the server is about to end; requests are answered on."""
        self._life.draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        name, response = "none", _STARTING
        if self._router is not None:
            try:
                route, tail = self._router.match(scope["method"], scope["path"])
                name = route.name
                request = Request(scope["path"], tail, scope["query_string"], scope["headers"], receive)
                response = await route.handler(request)
            except RequestError as error:
                self.metrics.rejected(error.reason)
                response = error_response(error.status, error.reason, error.detail, error.headers)
            except ClientGoneError:
                return
            except InvalidInputError as error:
                self.metrics.rejected("invalid_value")
                response = error_response(400, "invalid_value", str(error))
            except UnavailableError as error:
                response = error_response(503, "unavailable", str(error), ((b"retry-after", b"1"),))
            except Exception:
                _log.exception("request_broke", route=name)
                response = error_response(500, "internal", "a defect of the server: its log says more")
        self.metrics.request(name, response.status)
        await response.send(send)
        if self._log_every:
            self._log_some(scope["method"], name, response, started)

    def _log_some(self, method: str, route: str, response: Response, started: float) -> None:
        """Log one request in so many; never a path or query, which hold tokens and ids."""
        self._answered += 1
        if self._answered % self._log_every == 0:
            ms = round((time.perf_counter() - started) * 1000, 3)
            status, size = response.status, len(response.body)
            _log.info("request", method=method[:20], route=route, status=status, ms=ms, bytes=size)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        phase = "startup"
        try:
            async with running(
                self._config, self._preloaded, self._clock, self._life, self._make_reader, self._report
            ) as router:
                self._router = router
                phase = "shutdown"
                await send({"type": "lifespan.startup.complete"})
                await receive()
                self._router = None
        except Exception as error:
            _log.exception("server_broke", phase=phase)
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


def create_app(
    config: ServerConfig,
    clock: Clock | None = None,
    make_reader: ReaderFactory = OnlineReader,
    report: Report | None = None,
    slot: int | None = None,
) -> App:
    """Make the server of ``config``; files are read here, Redis is reached for when the server starts.

    ``make_reader`` makes what reads features and creatives; ``report`` and ``slot`` are of one of several workers.

    Raises:
        SettingsError: if the read plan, context schema or key ring cannot be used.
    """
    used = clock or SystemClock()
    return App(config, preload(config, used, slot), used, make_reader, report)
