"""A limit on request bodies, whatever their length header says."""

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_api.problem_responses import problem


class BodyLimit:
    """Refuse a request whose body is longer than `most` bytes with 413."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most
        self._sentence = f"A request has at most {most} bytes."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > 18 or int(announced) > self._most:
            await problem(413, "Too large", self._sentence)(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._most:
                raise HTTPException(413, self._sentence)
            return message

        await self._app(scope, counted, send)
