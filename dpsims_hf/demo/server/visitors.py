# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Who is behind one address: a share link, or a proxy that the owner did not name, gives all visitors its own.

Nobody can tell honest sessions from those that one client makes, so there is a compromise. What the last proxy says of
its client divides the turns of the address it says it from. Of the sessions behind that, the first ones have turns of
their own, and all later ones share one, until one of the first was not seen for a while.
"""

import ipaddress
import os
import threading
import time
from collections import OrderedDict
from typing import Any

from ..models.turns import Visitor


PROXIES = "FORWARDED_ALLOW_IPS"  # uvicorn's variable: the proxies whose headers are believed
OWN_TURNS = 16  # sessions behind one address (and hop) that are visitors of their own
IDLE_SECONDS = 300  # after which a session gives that up
MAX_GROUPS = 10_000  # addresses and hops that are remembered
CROWD = ""  # the session that all further ones share


def believe_no_headers() -> None:
    """Have uvicorn take no address from a header, unless the owner named the proxies that may write it.

    By default it believes X-Forwarded-For from its own machine: from whoever has an account there, and from the
    visitors of a share link, whose tunnel ends there.
    """
    os.environ.setdefault(PROXIES, "")


def client_address(request: Any) -> str:
    """Where a request comes from, for limits; on a hosted Space all come through proxies that say it.

    Args:
        request: with `client` and `headers`, as starlette has them.

    Returns:
        The address; of IPv6 the network of 64 bits, since whoever has one of its addresses has all of them.
    """
    address = request.client.host if request.client else ""
    if "SPACE_ID" in os.environ or os.environ.get(PROXIES, "").strip() == "*":
        address = _forwarded_address(", ".join(request.headers.getlist("x-forwarded-for"))) or address
    found = _parsed(address)
    return address[:200] if found is None else _network(found)


def last_hop(request: Any) -> str:
    """Whom a proxy that the owner did not name says to be its client, "" if none does; it raises no limit.

    A visitor who comes without a proxy can write what one likes there, and divides the turns of one's own address.
    """
    if "SPACE_ID" in os.environ or os.environ.get(PROXIES, "").strip():
        return ""  # the address is the client's
    said = ", ".join(request.headers.getlist("x-forwarded-for"))
    found = _parsed(said[-200:].rpartition(",")[2].strip())
    return "" if found is None else _network(found)


def _network(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The address; of IPv6 the network of 64 bits, since whoever has one of its addresses has all of them."""
    if isinstance(found, ipaddress.IPv6Address):
        return f"{ipaddress.IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found)


def _forwarded_address(said: str) -> str:
    """The address that the outermost proxy saw, "" if none can be told.

    Each proxy adds the address that it saw at the end, and the visitor may have written anything before it: the last
    address of the open network counts. What is no address ends the search, since what stands before it is anybody's.
    """
    for text in reversed(said[-2000:].split(",")):
        found = _parsed(text.strip())
        if found is None:
            return ""
        if found.is_global:
            return str(found)
    return ""


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, with or without a port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


class Sessions:
    """Which sessions are visitors of their own."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[str, str], dict[str, float]] = OrderedDict()
        self._lock = threading.Lock()

    def place(self, visitor: Visitor) -> Visitor:
        """The visitor, or the crowd behind the same address."""
        key, now = (visitor.address, visitor.hop), time.monotonic()
        with self._lock:
            seen = self._groups.setdefault(key, {})
            self._groups.move_to_end(key)
            while len(self._groups) > MAX_GROUPS:
                self._groups.popitem(last=False)
            for session in [name for name, last in seen.items() if last < now - IDLE_SECONDS]:
                del seen[session]
            if visitor.session in seen or len(seen) < OWN_TURNS:
                seen[visitor.session] = now
                return visitor
        return visitor._replace(session=CROWD)


SESSIONS = Sessions()


def visitor_of(request: Any, session: str) -> Visitor:
    """Whose turn a request takes.

    Args:
        request: as starlette has it.
        session: that it names.
    """
    return SESSIONS.place(Visitor(client_address(request), session, last_hop(request)))


__all__ = ["PROXIES", "SESSIONS", "Sessions", "believe_no_headers", "client_address", "last_hop", "visitor_of"]
