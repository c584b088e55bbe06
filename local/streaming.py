"""Carries an answer that comes in pieces to its reader, as a Function URL does in ``RESPONSE_STREAM`` mode."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from lambda_src.runtime.streamed_answer import StreamedAnswer


def is_streamed(result: object) -> TypeGuard[StreamedAnswer]:
    """Tell whether a handler's result comes in pieces.

    It looks at attributes, because a handler that is imported anew has classes of its own.
    """
    return hasattr(result, "pieces")


async def carry(answer: StreamedAnswer, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
    """Send the pieces as they are made. Return when the work behind them is over, even if the reader has left.

    Args:
        answer: What to send.
        headers: Its headers as they go out.
        receive: Tells that the reader has left.
        send: Sends, and waits while the reader does not take what was sent.
    """
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    loop = asyncio.get_running_loop()
    is_over = asyncio.Event()

    async def send_piece(piece: bytes, *, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": piece, "more_body": more})

    def work() -> None:
        try:
            with contextlib.suppress(RuntimeError, CancelledError):  # the loop has ended: the server does not wait
                for piece in answer.pieces:
                    asyncio.run_coroutine_threadsafe(send_piece(piece), loop).result()
                asyncio.run_coroutine_threadsafe(send_piece(b"", more=False), loop).result()
        finally:
            answer.close()
            answer.wait()
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(is_over.set)

    threading.Thread(target=work, name="stream", daemon=True).start()
    watching = asyncio.ensure_future(_close_when_left(answer, receive))
    try:
        await is_over.wait()
    finally:
        watching.cancel()


async def _close_when_left(answer: StreamedAnswer, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    answer.close()
