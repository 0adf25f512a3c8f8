"""Who may ask: the token, the names by which the server may be called, and pages of other places."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from dtopipe.host.http_address import Address

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Nothing from elsewhere, nothing in the page's text is a script, and no other page may frame this one.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LONGEST_TOKEN = 200


class Guard:
    """Looks at every request before anything else does. An empty token lets everybody in who reaches the port."""

    def __init__(self, address: Address, token: str) -> None:
        self._token = token
        self._cookie = f"dtopipe-{address.port}"
        own = socket.gethostname().casefold()
        self._names = {"localhost", address.host.casefold(), own, own.partition(".")[0], f"{own}.local"}

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse, or let the request through, with the headers that keep a browser from harm."""
        try:
            response = await self._answer(request, handler)
        except web.HTTPException as error:
            error.headers.update(HEADERS)
            raise
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._is_our_name(request.host):
            raise web.HTTPForbidden(text="this server is not called so\n")
        if not _is_same_origin(request):
            raise web.HTTPForbidden(text="asked from a page of another place\n")
        told = request.query.get("token")
        if self._token and not (self._is_right(told) or self._is_right(request.cookies.get(self._cookie))):
            raise web.HTTPForbidden(text="the token is missing or wrong: open the whole URL that was printed\n")
        if told is not None and request.method == "GET" and "Upgrade" not in request.headers:
            # The address bar, and what is copied from it, is without the token from now on.
            answer = web.HTTPSeeOther(request.rel_url.without_query_params("token"))
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict", path="/")
            raise answer
        return await handler(request)

    def _is_right(self, told: str | None) -> bool:
        """Compared in a time that tells nothing of how much of it is right."""
        return (
            told is not None
            and len(told) <= _LONGEST_TOKEN
            and hmac.compare_digest(told.encode(errors="replace"), self._token.encode())
        )

    def _is_our_name(self, host: str) -> bool:
        """A page of another place can have its own name lead here, but no bare address."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").casefold()
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_same_origin(request: web.Request) -> bool:
    """True for our own pages, and for programs, which say nothing of where they come from."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin.casefold() == f"{request.scheme}://{request.host}".casefold()
    # A link from elsewhere may lead to a page; nothing else may be asked for from there.
    site = request.headers.get("Sec-Fetch-Site", "none")
    return site in ("none", "same-origin") or request.headers.get("Sec-Fetch-Mode") == "navigate"
