"""One serving process: ports first, then the model, then requests, then an ordered end.

The order of an end is ``ending``'s.
Called by ``__main__``, which turns the result into an exit code.
"""

import asyncio
import contextlib
import secrets
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from llm_server import assembly, contract
from llm_server.admission import ServingLimits
from llm_server.assembly import Assembled
from llm_server.contract import StartupFailure
from llm_server.ending import (
    END_SECONDS,
    DrainRules,
    Ending,
    EngineBroke,
    break_off,
    drain,
    end_on_signals,
    settle,
)
from llm_server.engine.batch import RunnerLost
from llm_server.engine.loop import EnginePulse, EngineSinks, EngineThread
from llm_server.http.app import create_app
from llm_server.http.connection import ConnectionLimits
from llm_server.http.endpoints import Edge
from llm_server.http.gate import GateRules
from llm_server.http.keys import KeyRing
from llm_server.http.listener import ApiServer
from llm_server.http.probes import ProbeServer, ProbeSources, Vitals
from llm_server.lifecycle import Lifecycle, State
from llm_server.models.failures import StartupError, classify_break, redact
from llm_server.models.progress import Progress
from llm_server.models.source import ModelSource
from llm_server.service import (
    EnginePort,
    EventRouter,
    GenerationService,
    ServedModel,
    ServiceSlot,
)
from llm_server.settings import ServerSettings
from llm_server.telemetry import ServerIdentity, Telemetry

_LOG = structlog.get_logger()


class ServerProcess:
    """Everything of one process, from ``run`` to its end."""

    def __init__(self, settings: ServerSettings, source: ModelSource) -> None:
        """Bind the probe port. Raises ``StartupError`` when it cannot be bound."""
        self._settings = settings
        self._source = source
        self._name = assembly.served_name(settings, source)
        self._lifecycle = Lifecycle(Progress(time.monotonic))
        self._slot = ServiceSlot()
        self._telemetry = Telemetry(CollectorRegistry(), self._identity())
        self._engine: EngineThread | None = None
        self._loop_beat_at = time.monotonic()
        sources = ProbeSources(
            self._lifecycle, self._telemetry, self._vitals, settings.stall_seconds
        )
        with _naming("probe_port", settings.probe_port):
            self._probes = ProbeServer(settings.host, settings.probe_port, sources)

    async def run(self) -> None:
        """Serve until asked to end. Raises ``StartupError`` or ``EngineBroke``."""
        self._probes.start()
        ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        end_on_signals(ending)
        http = self._api_server()
        serving = asyncio.create_task(http.run())
        beating = asyncio.create_task(self._beat())
        try:
            end = await self._live(ending, http)
        finally:
            http.stop()
            await serving
            beating.cancel()
            self._stop_engine()
        if end.error is not None:
            raise end.error

    async def _live(self, ending: asyncio.Future[Ending], http: ApiServer) -> Ending:
        loading = self._begin_loading()
        either: set[asyncio.Future[Any]] = {loading, ending}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            self._lifecycle.enter(State.STOPPED)
            return ending.result()
        try:
            assembled = await loading
        except StartupError as error:
            self._lifecycle.enter(State.FAILED)
            return Ending(error=error)
        self._go_live(assembled, ending)
        end = await ending
        if end.error is not None:
            self._lifecycle.enter(State.FAILED)
            await break_off(self._slot)
        else:
            seconds = self._settings.effective_drain_seconds
            rules = DrainRules(seconds, self._engine_is_stalled, self._enter)
            await drain(rules, end.accept_seconds, self._slot, http)
        return end

    def _go_live(self, assembled: Assembled, ending: asyncio.Future[Ending]) -> None:
        """Start the engine and open the service; the server is ready from here on."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        router = EventRouter(loop)

        def give_up(error: BaseException) -> None:
            broke = EngineBroke(classify_break(error))
            loop.call_soon_threadsafe(settle, ending, Ending(error=broke))

        core = assembly.build_core(assembled, settings, time.monotonic)
        sinks = EngineSinks(router.deliver, self._telemetry.observe, _log_failed_step, give_up)
        engine = EngineThread(core, sinks, time.monotonic)
        limits = ServingLimits(
            max_model_len=assembled.max_model_len,
            vocab_size=assembled.capacity.vocab_size,
            max_batch_size=settings.max_batch_size,
            max_queued_requests=settings.max_queued_requests,
            request_timeout_seconds=settings.request_timeout_seconds,
        )
        service = GenerationService(
            self._served(assembled),
            assembled.tokenizer,
            limits,
            EnginePort(engine, router),
            time.monotonic,
        )
        self._telemetry.watch(engine.gauges, assembled.capacity.kv_capacity_tokens)
        if assembled.commit is not None:
            self._telemetry.loaded(assembled.commit)
        engine.start()
        self._engine = engine
        self._slot.fill(service)
        self._enter(State.READY)
        self._telemetry.ready(self._lifecycle.snapshot().seconds)
        if assembled.lifetime_seconds is not None:
            lost = RunnerLost(f"the device was lost after {assembled.lifetime_seconds:g} s")
            loop.call_later(assembled.lifetime_seconds, engine.lose, lost)

    def _begin_loading(self) -> asyncio.Future[Assembled]:
        """Load in a daemon thread: a load that hangs must not keep the process from ending."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Assembled] = loop.create_future()

        def load() -> None:
            try:
                loaded = assembly.assemble(self._settings, self._source, self._lifecycle.progress)
            except StartupError as error:
                loop.call_soon_threadsafe(_settle_error, done, error)
            else:
                loop.call_soon_threadsafe(settle, done, loaded)

        threading.Thread(target=load, name="loading", daemon=True).start()
        return done

    def _stop_engine(self) -> None:
        if self._engine is not None and not self._engine.stop(END_SECONDS):
            _LOG.warning("The engine did not stop in time")

    async def _beat(self) -> None:
        while True:
            self._loop_beat_at = time.monotonic()
            await asyncio.sleep(0.5)

    def _engine_is_stalled(self) -> bool:
        if self._engine is None:
            return False
        silence = self._engine.pulse.silence_seconds(time.monotonic())
        return self._engine.has_ended or silence > self._settings.stall_seconds

    def _vitals(self) -> Vitals:
        pulse: EnginePulse | None = self._engine.pulse if self._engine is not None else None
        return Vitals(time.monotonic(), self._loop_beat_at, pulse)

    def _enter(self, state: State) -> None:
        self._lifecycle.enter(state)
        _LOG.info("Server is " + state.value, model=self._name)

    def _identity(self) -> ServerIdentity:
        return ServerIdentity(
            version=assembly.version(),
            model_name=self._name,
            source=str(self._source),
            revision=self._settings.revision or "",
            simulated=assembly.is_simulated(self._source),
        )

    def _served(self, assembled: Assembled) -> ServedModel:
        return ServedModel(
            name=self._name,
            fingerprint=assembled.fingerprint,
            created=int(time.time()),  # noqa: TID251  # the edge reads the clock
            max_model_len=assembled.max_model_len,
            simulated=assembly.is_simulated(self._source),
            sampling=assembled.sampling,
        )

    def _api_server(self) -> ApiServer:
        keys_dir = self._settings.api_keys_dir
        keys = KeyRing(keys_dir, time.monotonic) if keys_dir is not None else None
        revision = self._settings.revision
        headers = ((contract.REVISION_HEADER.encode(), revision.encode()),) if revision else ()
        rules = GateRules(self._lifecycle, self._telemetry, keys, time.monotonic, headers)
        edge = Edge(
            slot=self._slot,
            max_body_bytes=self._settings.max_body_bytes,
            wall_clock=time.time,  # noqa: TID251  # the edge reads the clock
            new_seed=lambda: secrets.randbits(63),
        )
        limits = ConnectionLimits(self._settings.effective_max_connections)
        with _naming("http_port", self._settings.http_port):
            server = ApiServer(
                create_app(edge, rules), self._settings.host, self._settings.http_port, limits
            )
        _LOG.info(
            "Listening",
            http_port=server.port,
            probe_port=self._probes.port,
            model=self._name,
            source=str(self._source),
        )
        return server


def _log_failed_step(error: Exception) -> None:
    """Say why a step failed; its requests are told no more than the kind of the error."""
    said, stack = f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))
    _LOG.error("The model runner failed", error=redact(said), exception=redact(stack))


def _settle_error(future: asyncio.Future[Assembled], error: StartupError) -> None:
    if not future.done():
        future.set_exception(error)


@contextlib.contextmanager
def _naming(setting: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartupError(
            StartupFailure.INVALID_SETTINGS, f"{setting} {port} cannot be listened on: {error}"
        ) from error
