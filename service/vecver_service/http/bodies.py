"""Receives the bodies of requests: up to a limit, whole, and once more for the next reader."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive


class LimitedBody:
    """Receives a request's body of at most `max_bytes`. Raises HTTPException (413) for a longer one."""

    def __init__(self, receive: Receive, max_bytes: int, content_length: int | None) -> None:
        self._receive, self._left = receive, max_bytes
        self.complete = False  # whether all of it has arrived
        if content_length is not None and content_length > max_bytes:
            raise HTTPException(413)

    async def __call__(self) -> Message:
        message = await self._receive()
        self.complete = self.complete or not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413)
        return message


async def messages_of(receive: Receive) -> list[Message]:
    """The request's messages up to the end of its body, or of its connection."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def whole_body(messages: Sequence[Message]) -> bytes | None:
    """The body in these messages; None if the caller disconnected before its end."""
    if any(message["type"] != "http.request" for message in messages):
        return None
    return b"".join(message.get("body", b"") for message in messages)


def replayed(messages: Sequence[Message], receive: Receive) -> Receive:
    """The messages once more, then those that follow."""
    iterator = iter(messages)

    async def replay() -> Message:
        message = next(iterator, None)
        return await receive() if message is None else message

    return replay
