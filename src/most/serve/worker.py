"""One thread that computes tokens for all requests, one that makes sound of them, and streams that carry both away.

A client's request is given a place or refused at once; what has a place is answered, or ends with an error that says
why. A place that its client leaves is cancelled: the next token of what runs in it is never computed.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from most.generate.batch import Batch
from most.generate.engine import Engine
from most.generate.request import Request, Token
from most.generate.stream import Assembler, Ended, Said, Written
from most.serve.errors import Refused, busy, stopping
from most.serve.metrics import Metrics
from most.serve.settings import ServeSettings

Event = Written | Said | Ended
log = logging.getLogger(__name__)


class Stream:
    """The events of one request to the engine, for one reader; of a `Place`."""

    def __init__(self, place: Place, assembler: Assembler, on_token: Callable[[Token], None] | None) -> None:
        self.place, self.assembler, self.on_token = place, assembler, on_token
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | Refused] = asyncio.Queue()
        self.closed = threading.Event()
        self.number = 0
        """In the batch, while it is there."""

    def put(self, event: Event | Refused) -> None:
        """From any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events up to `Ended`.

        Raises:
            Refused: the place's time is over, or the request failed.
        """
        while True:
            try:
                event = await asyncio.wait_for(self._events.get(), max(self.place.seconds_left, 0.001))
            except TimeoutError:
                limit = self.place.worker.settings.request_seconds
                raise Refused(408, f"was not answered within {limit:g} s", code="timeout") from None
            if isinstance(event, Refused):
                raise event
            yield event
            if isinstance(event, Ended):
                return


class Place:
    """A client's request among those that a worker has taken. `async with` it: leaving cancels what still runs."""

    def __init__(self, worker: Worker) -> None:
        self.worker, self.begun = worker, time.monotonic()
        self._streams: list[Stream] = []

    async def __aenter__(self) -> Place:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def submit(
        self, request: Request, speaker: str | None = None, on_token: Callable[[Token], None] | None = None
    ) -> Stream:
        """Have a request computed; from the event loop.

        Args:
            on_token: called with each token, in the thread that makes sound.

        Raises:
            MostError: an unknown speaker.
        """
        stream = Stream(self, Assembler(self.worker.engine, speaker, self.worker.settings.chunks), on_token)
        self._streams.append(stream)
        self.worker.take(stream, request)
        return stream

    @property
    def seconds_left(self) -> float:
        return self.begun + self.worker.settings.request_seconds - time.monotonic()

    def close(self, error: Refused | None = None) -> None:
        """Give the place up; what runs in it is cancelled, and its readers are told why where they are to know."""
        for stream in self._streams:
            if error is not None:
                stream.put(error)
            self.worker.cancel(stream)
        self.worker.leave(self)


class Worker:
    """Runs an engine for a server.

    Args:
        settings: `max_running` and `max_waiting` bound what is taken.
    """

    def __init__(self, engine: Engine, settings: ServeSettings, metrics: Metrics) -> None:
        self.engine, self.settings, self.metrics = engine, settings, metrics
        self._batch = Batch(engine.model, engine.processor, settings.max_running)
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[tuple[Stream, Token] | None] = queue.SimpleQueue()
        self._streams: dict[int, Stream] = {}
        self._places: set[Place] = set()
        self._lock = threading.Lock()
        self.accepts = True
        self._threads = [
            threading.Thread(target=self._compute, name="most-tokens", daemon=True),
            threading.Thread(target=self._sound, name="most-sound", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def admit(self) -> Place:
        """A place for a client's request.

        Raises:
            Refused: all places are taken, or the server stops.
        """
        with self._lock:
            if not self.accepts:
                raise stopping()
            if len(self._places) >= self.settings.max_running + self.settings.max_waiting:
                raise busy(f"{len(self._places)} requests are being answered or wait already")
            place = Place(self)
            self._places.add(place)
            return place

    def leave(self, place: Place) -> None:
        with self._lock:
            self._places.discard(place)

    def take(self, stream: Stream, request: Request) -> None:
        self._inbox.put(lambda: self._take(stream, request))

    def cancel(self, stream: Stream) -> None:
        """End a stream's request; one that has ended changes nothing."""
        if not stream.closed.is_set():
            stream.closed.set()
            self._inbox.put(lambda: self._drop(stream))

    @property
    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    @property
    def n_places(self) -> int:
        """Taken."""
        with self._lock:
            return len(self._places)

    async def stop(self, grace_seconds: float) -> None:
        """Take nothing new, give what runs `grace_seconds` to finish, end the rest with an error, and stop; once."""
        with self._lock:
            if not self.accepts:
                return
            self.accepts = False
        until = time.monotonic() + grace_seconds
        while self.n_places and time.monotonic() < until:
            await asyncio.sleep(0.02)
        with self._lock:
            left = list(self._places)
        for place in left:
            place.close(stopping())
        self._inbox.put(None)
        await asyncio.to_thread(lambda: [thread.join(10) for thread in self._threads])

    # In the thread that computes tokens.

    def _compute(self) -> None:
        while True:
            for command in self._commands():
                if command is None:
                    self._outbox.put(None)
                    return
                command()
            self._count()
            if not self._batch.busy:
                continue
            try:
                tokens = self._batch.step()
            except Exception:
                log.exception("a step failed; the requests in it end")
                self._fail()
                continue
            self._count()
            self.metrics.tokens.inc(len(tokens))
            for token in tokens:
                stream = self._streams.pop(token.request) if token.last else self._streams[token.request]
                self._outbox.put((stream, token))

    def _commands(self) -> list[Callable[[], None] | None]:
        """All that came in; waits for one while nothing runs."""
        commands = [] if self._batch.busy else [self._inbox.get()]
        while True:
            try:
                commands.append(self._inbox.get_nowait())
            except queue.Empty:
                return commands

    def _count(self) -> None:
        self.metrics.running.set(self._batch.n_running)
        self.metrics.waiting.set(self._batch.n_waiting)

    def _take(self, stream: Stream, request: Request) -> None:
        if stream.closed.is_set():
            return
        try:
            stream.number = self._batch.add(request)
        except Exception:
            log.exception("a request could not be taken")
            return stream.put(_failed())
        self._streams[stream.number] = stream

    def _drop(self, stream: Stream) -> None:
        if self._streams.pop(stream.number, None) is not None:
            self._batch.cancel(stream.number)
            self.metrics.cancelled.inc()

    def _fail(self) -> None:
        """No request of a batch whose step failed can go on."""
        self._batch.cancel_all()
        for stream in self._streams.values():
            stream.put(_failed())
        self._streams.clear()

    # In the thread that makes sound.

    def _sound(self) -> None:
        while (item := self._outbox.get()) is not None:
            stream, token = item
            if stream.closed.is_set():
                continue
            try:
                if stream.on_token is not None:
                    stream.on_token(token)
                events: list[Any] = stream.assembler.feed(token)
            except Exception:
                log.exception("speech could not be made")
                events = [Refused(500, "speech could not be made; see the server's log", code="vocoder_failed")]
                self.cancel(stream)
            for event in events:
                stream.put(event)


def _failed() -> Refused:
    return Refused(500, "the model failed; see the server's log", code="model_failed")
