"""Asking a server: retries, a limit of concurrency, budgets, and every reply on the tape before its use."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sharpen.errors import SharpenError, missing
from sharpen.runs.streams import Stream
from sharpen.runs.tape import Tape
from sharpen.sample.api_config import ApiConfig

if TYPE_CHECKING:
    import httpx2

Reply = dict[str, Any]
Sleep = Callable[[float], Awaitable[object]]

RETRIED = (408, 409, 425, 429)
"""Statuses that may pass, besides those from 500 on."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before the first further try, and at most; each pause is twice the one before."""


class Again(Exception):
    """No answer this time: worth another try, not before ``wait`` seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class Rejected(SharpenError):
    """The server understood and said no."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One question to the server.

    Attributes:
        key: names its reply on the tape; ``""`` keeps it nowhere.
        stream: whose question it is; the pauses between tries are drawn below it.
        body: JSON to send.
        read: makes of the server's JSON what is stored; raises Again where it is no answer.
        prompt, most: tokens of the prompt, and that may be sampled.
    """

    key: str
    stream: Stream
    body: Mapping[str, Any]
    read: Callable[[Any], Reply]
    prompt: int
    most: int


@dataclass(slots=True)
class Spent:
    """What a run has used so far."""

    requests: int = 0
    prompt: int = 0
    sampled: int = 0

    def cost(self, config: ApiConfig) -> float:
        """At the given prices."""
        return (self.prompt * config.price_prompt + self.sampled * config.price_sampled) / 1e6


class Budget:
    """Lets a request go when the limits hold even if it uses all that it may."""

    def __init__(self, config: ApiConfig, spent: Spent) -> None:
        self._config, self._spent = config, spent
        self._held = Spent()  # of requests in flight, at most
        self._changed = asyncio.Condition()

    async def admit(self, ask: Ask) -> None:
        """Wait until the request fits. Raises SharpenError where it cannot any more."""
        async with self._changed:
            while limit := self._beyond(ask):
                if not self._held.requests:
                    raise SharpenError(self._told(limit))
                await self._changed.wait()  # one in flight may use less than was set aside for it
            self._spent.requests += 1
            self._hold(ask, 1)

    async def settle(self, ask: Ask, reply: Reply | None) -> None:
        """The request is over; ``reply`` holds its ``usage``, None where there was no answer."""
        async with self._changed:
            self._hold(ask, -1)
            if reply is not None:
                self._spent.prompt += reply["usage"][0]
                self._spent.sampled += reply["usage"][1]
            self._changed.notify_all()

    def _hold(self, ask: Ask, sign: int) -> None:
        self._held.requests += sign
        self._held.prompt += sign * ask.prompt
        self._held.sampled += sign * ask.most

    def _beyond(self, ask: Ask) -> str:
        """The limit that would be passed, ``""`` where none."""
        config, spent, held = self._config, self._spent, self._held
        after = Spent(
            spent.requests + 1,
            spent.prompt + held.prompt + ask.prompt,
            spent.sampled + held.sampled + ask.most,
        )
        if 0 < config.max_requests < after.requests:
            return f"max_requests = {config.max_requests}"
        if 0 < config.max_tokens < after.prompt + after.sampled:
            return f"max_tokens = {config.max_tokens}"
        if 0 < config.max_cost < after.cost(config):
            return f"max_cost = {config.max_cost:g}"
        return ""

    def _told(self, limit: str) -> str:
        spent = self._spent
        cost = spent.cost(self._config)
        return (
            f"api.{limit} does not allow another request: {spent.requests} were sent, {spent.prompt} prompt "
            f"and {spent.sampled} sampled tokens used{f', cost {cost:.4g}' if cost else ''}; every answer is "
            "kept: raise the limit with `sharpen resume`"
        )


class Client:
    """One server, as a run sees it.

    Args:
        config: where it is and what it may be asked.
        tape: where replies are kept; None keeps them nowhere.
        sleep: waits for so many seconds.

    Attributes:
        spent: requests sent by this process and answered in earlier ones, with their tokens.
    """

    def __init__(self, config: ApiConfig, tape: Tape | None, sleep: Sleep) -> None:
        self.config, self.tape, self.sleep = config, tape, sleep
        self.spent = Spent()
        for reply in tape.replies() if tape is not None else ():
            if "usage" in reply:
                self.spent.requests += 1
                self.spent.prompt += reply["usage"][0]
                self.spent.sampled += reply["usage"][1]

    @asynccontextmanager
    async def connect(self, width: int) -> AsyncIterator[Session]:
        """Up to ``width`` connections to the server, while the block lasts.

        Raises:
            SharpenError: httpx2 is missing, or the variable that should hold the key is not set.
        """
        try:
            import httpx2
        except ImportError:
            raise missing("the api engine", "httpx2", "api") from None
        secret = _secret(self.config.key_variable)
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        limits = httpx2.Limits(max_connections=width, max_keepalive_connections=width)
        async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=None) as http:
            yield Session(self, http, width, secret)


class Session:
    """Open connections to the server; made by ``Client.connect``."""

    def __init__(self, client: Client, http: httpx2.AsyncClient, width: int, secret: str) -> None:
        self._config, self._tape, self._sleep = client.config, client.tape, client.sleep
        self._http, self._width, self._secret = http, width, secret
        self._budget = Budget(client.config, client.spent)
        self._failed: SharpenError | None = None

    async def ask_all(self, asks: Sequence[Ask], told: Callable[[Ask, Reply], None]) -> None:
        """Ask every question; ``told`` gets each reply once it is on the tape.

        After an error nothing new is asked, but what is in flight is waited for and kept: it may have
        been paid for. Raises the first error.
        """
        self._failed = None
        waiting = iter(asks)

        async def work() -> None:
            for ask in waiting:  # the workers share it, each takes the next
                try:
                    reply = await self._ask(ask)
                    if self._tape is not None and ask.key:
                        await asyncio.to_thread(self._tape.put, ask.key, reply)
                except SharpenError as problem:
                    self._failed = self._failed or problem
                    return
                told(ask, reply)
                if self._failed is not None:
                    return

        await asyncio.gather(*(work() for _ in range(min(self._width, len(asks)))))
        if self._failed is not None:
            raise self._failed

    async def call(self, path: str, body: Mapping[str, Any], stream: Stream) -> Any:
        """Post to ``path`` (of the address with /v1, or of the one above it where it starts with ``/``)
        with retries; the answer's JSON, or its text where it is none. No budget, no tape.

        Raises:
            Rejected: the server said no.
            SharpenError: no answer.
        """

        async def once() -> Any:
            answer = await self._post(path, body)
            try:
                return answer.json()
            except ValueError:
                return answer.text

        return await self._tries(stream, once)

    async def _ask(self, ask: Ask) -> Reply:
        async def once() -> Reply:
            await self._budget.admit(ask)
            reply = None
            try:
                if self._failed is not None:  # while this one waited
                    raise self._failed
                answer = await self._post("completions", ask.body)
                try:
                    found = answer.json()
                except ValueError:
                    raise Again(f"the answer is no JSON: {self._plain(answer.text)}") from None
                reply = ask.read(found)
                return reply
            finally:
                await self._budget.settle(ask, reply)

        return await self._tries(ask.stream, once)

    async def _tries(self, stream: Stream, once: Callable[[], Awaitable[Any]]) -> Any:
        tries = self._config.retries + 1
        for k in range(tries):
            try:
                return await once()
            except Again as problem:
                if k + 1 == tries or self._failed is not None:
                    tried = f"{k + 1} {'tries' if k else 'try'}, {stream}"
                    raise SharpenError(f"{self._config.url}: {self._plain(str(problem))} ({tried})") from None
                # half of the pause is chance, so that requests refused together do not return together
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**k)
                pause *= 0.5 + 0.5 * stream.child("pause", k).generator().random()
                await self._sleep(max(problem.wait, pause))
        raise AssertionError("unreachable")

    async def _post(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        import httpx2

        url = self._config.url
        url = url.removesuffix("/v1") + path if path.startswith("/") else f"{url}/{path}"
        try:
            async with asyncio.timeout(self._config.timeout):
                answer = await self._http.post(url, json=dict(body))
        except TimeoutError:
            raise Again(f"no answer in {self._config.timeout:g} seconds") from None
        except httpx2.HTTPError as problem:
            raise Again(self._plain(f"{type(problem).__name__}: {problem}")) from None
        status = answer.status_code
        if status in RETRIED or status >= 500:
            raise Again(f"status {status}: {self._message(answer)}", _wait(answer))
        if not answer.is_success:
            raise Rejected(f"{url} answered with status {status}: {self._message(answer)}", status)
        return answer

    def _message(self, answer: httpx2.Response) -> str:
        """What the server says about an error."""
        try:
            found = answer.json()
            found = found.get("error", found.get("detail", found))
            found = found.get("message", found) if isinstance(found, dict) else found
        except (ValueError, AttributeError):
            found = answer.text
        return self._plain(str(found))

    def _plain(self, text: str) -> str:
        """One short line without the key: servers repeat what they were sent."""
        line = " ".join(text.split())
        return (line.replace(self._secret, "***") if self._secret else line)[:300]


def _secret(variable: str) -> str:
    """The key in the environment, ``""`` where none is named."""
    if not variable:
        return ""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise SharpenError(f"api.key_variable: the environment variable {variable} is not set")
    if not value.isascii() or not value.isprintable():  # the library's own error would show it
        raise SharpenError(f"api.key_variable: {variable} holds characters that a key cannot have")
    return value


def _wait(answer: httpx2.Response) -> float:
    """Seconds that the server asks to wait; 0 where it does not say, or says it as a date (no clock here)."""
    try:
        seconds = float(answer.headers.get("retry-after", "0"))
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0
