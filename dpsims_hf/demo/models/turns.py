# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Which visitor may use the model next: visitors take turns, image by image."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple


POLL_SECONDS = 0.2  # how often it is checked whether a waiting visitor is still there


class Visitor(NamedTuple):
    """A visitor of the page, or a client of the API.

    Args:
        address: of the client, as far as it is known.
        session: of the browser, or of one call of the API.
        hop: who is behind the address, as a proxy there says that nobody named; it divides the address's turns, and
            gives it none.
    """

    address: str = ""
    session: str = ""
    hop: str = ""


class Gone(ValueError):
    """The visitor has left or cancelled the request: its images are no longer wanted."""


@dataclass(eq=False)
class _Ticket:
    is_called: bool = False


class _Lane:
    """Tickets by address, hop and session: addresses take turns, those behind one address do, and their sessions do.

    So whoever makes many sessions, or writes many headers, divides the turns of the own address alone.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, Any] = {}  # address: {hop: {session: tickets}}; who waited longest stands first

    def add(self, visitor: Visitor, ticket: _Ticket) -> None:
        sessions = self.waiting.setdefault(visitor.address, {}).setdefault(visitor.hop, {})
        sessions.setdefault(visitor.session, deque()).append(ticket)

    def remove(self, visitor: Visitor, ticket: _Ticket) -> None:
        hops = self.waiting[visitor.address]
        sessions = hops[visitor.hop]
        sessions[visitor.session].remove(ticket)
        if not sessions[visitor.session]:
            del sessions[visitor.session]
        if not sessions:
            del hops[visitor.hop]
        if not hops:
            del self.waiting[visitor.address]

    def pop(self) -> _Ticket:
        """The next ticket; a visitor with further tickets moves to the end."""
        return _next_of(self.waiting)

    def __len__(self) -> int:
        return sum(len(t) for hops in self.waiting.values() for s in hops.values() for t in s.values())


def _next_of(waiting: Any) -> _Ticket:
    """The first ticket of the first group, which goes behind the others if more is left in it."""
    if isinstance(waiting, deque):
        return waiting.popleft()
    first = next(iter(waiting))
    group = waiting.pop(first)
    ticket = _next_of(group)
    if group:
        waiting[first] = group
    return ticket


class FairTurns:
    """A lock that is handed on round-robin over visitors.

    Two lanes alternate while visitors wait in both: first images of requests, and all further images. So a single
    picture waits for one image of a long request, however many of those run. A third lane, of images that nobody asked
    for, moves while both are empty.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._lanes = (_Lane(), _Lane(), _Lane())
        self._last = 1  # the lane that was served last
        self._is_busy = False

    @property
    def is_busy(self) -> bool:
        """Whether a visitor has the turn."""
        return self._is_busy

    @property
    def waiting(self) -> int:
        """Number of tickets that wait."""
        with self._condition:
            return sum(map(len, self._lanes))

    @contextmanager
    def turn(
        self,
        visitor: Visitor,
        is_further: bool = False,
        is_gone: Callable[[], bool] = lambda: False,
        is_spare: bool = False,
    ) -> Iterator[None]:
        """Wait, and have the model for the block.

        Args:
            visitor: whose turn it is.
            is_further: the request has had a turn before.
            is_gone: asked now and then while waiting.
            is_spare: everybody else goes first.

        Raises:
            Gone: the visitor left; the place in the queue is given up.
        """
        self._wait(visitor, self._lanes[2 if is_spare else is_further], is_gone)
        try:
            yield
        finally:
            with self._condition:
                self._call_next()

    def _wait(self, visitor: Visitor, lane: _Lane, is_gone: Callable[[], bool]) -> None:
        ticket = _Ticket()
        with self._condition:
            lane.add(visitor, ticket)
            try:
                if not self._is_busy:
                    self._call_next()
                while not ticket.is_called:
                    self._condition.wait(POLL_SECONDS)
                    if not ticket.is_called and is_gone():
                        raise Gone("the request was given up")
            except BaseException:
                if ticket.is_called:
                    self._call_next()
                else:
                    lane.remove(visitor, ticket)
                raise

    def _call_next(self) -> None:
        order = (1 - self._last, self._last, 2)
        chosen = next((number for number in order if self._lanes[number].waiting), None)
        self._is_busy = chosen is not None
        if chosen is not None:
            self._last = self._last if chosen == 2 else chosen
            self._lanes[chosen].pop().is_called = True
            self._condition.notify_all()


TURNS = FairTurns()


@dataclass
class Request:
    """What a visitor asked for; its images take turns.

    Args:
        visitor: who asked.
        is_gone: whether the visitor no longer waits for the answer.
    """

    visitor: Visitor = Visitor()
    is_gone: Callable[[], bool] = lambda: False
    turns: FairTurns = field(default_factory=lambda: TURNS)
    waited: float = 0.0  # seconds
    images: int = 0  # turns so far
    is_spare: bool = False  # its images wait until nobody else does
    held: ExitStack | None = None  # closes the present turn


_CURRENT: ContextVar[Request | None] = ContextVar("request", default=None)


@contextmanager
def requested(request: Request | None) -> Iterator[None]:
    """All `image_turn`s in the block belong to this request, and end with it; None: they do not wait."""
    token = _CURRENT.set(request)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        if request is not None and request.held is not None:  # an exception can keep an unfinished iterator alive
            request.held.close()


def in_request() -> bool:
    """Whether a visitor waits for what this thread does."""
    return _CURRENT.get() is not None


def stand_back() -> None:
    """From now on all others go before the present request."""
    request = _CURRENT.get()
    if request is not None:
        request.is_spare = True


def seconds_waited() -> float:
    """How long the present request has waited for its turns."""
    request = _CURRENT.get()
    return 0.0 if request is None else request.waited


@contextmanager
def image_turn() -> Iterator[None]:
    """Have the model for one image; outside of a request, and inside of another turn, at once.

    Raises:
        Gone: the visitor no longer waits for the image.
    """
    request = _CURRENT.get()
    if request is None or request.held is not None:
        yield
        return
    _take_turn(request)
    try:
        yield
    finally:
        _end_turn(request)


def pass_on() -> None:
    """Between two images of one `image_turn`: give the model to those who wait, and continue with the next turn.

    Raises:
        Gone: the visitor no longer waits for the next image.
    """
    request = _CURRENT.get()
    if request is not None and request.held is not None:
        _end_turn(request)
        _take_turn(request)


def _take_turn(request: Request) -> None:
    if request.is_gone():
        raise Gone("the request was given up")
    start = time.monotonic()
    with ExitStack() as stack:
        turn = request.turns.turn(request.visitor, request.images > 0, request.is_gone, request.is_spare)
        stack.enter_context(turn)
        request.waited += time.monotonic() - start
        request.images += 1
        request.held = stack.pop_all()


def _end_turn(request: Request) -> None:
    held, request.held = request.held, None
    if held is not None:
        held.close()


def in_turns(items: Iterable[Any]) -> Iterator[Any]:
    """The items; the consumer has the model from taking one until asking for the next."""
    iterator = iter(items)
    while True:
        with image_turn():
            try:
                item = next(iterator)
            except StopIteration:
                return
            yield item


__all__ = [
    "TURNS",
    "FairTurns",
    "Gone",
    "Request",
    "Visitor",
    "image_turn",
    "in_request",
    "in_turns",
    "pass_on",
    "requested",
    "seconds_waited",
    "stand_back",
]
