"""A limit on request bodies, whatever their length header says."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_api.problem_responses import problem


class _TooLong(Exception):
    """More bytes came than may."""


class BodyLimit:
    """Refuse a request whose body is longer than `most` bytes with 413."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self._most:
            await self._refusal(scope, receive, send)
            return
        came, answered = 0, False

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._most:
                raise _TooLong
            return message

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooLong:
            if answered:
                raise
            await self._refusal(scope, receive, send)

    async def _refusal(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = problem(413, "Too large", f"A request has at most {self._most} bytes.")
        await response(scope, receive, send)
