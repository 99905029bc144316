"""How far it is: a bar with rate and time left on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

import click

#: Seconds between two lines where there is no terminal.
PAUSE = 10.0


class Progress:
    """Counts towards a known number, on the standard error."""

    def __init__(self, label: str, length: int) -> None:
        """Say what is counted, and to where."""
        self.label, self.length = label, length
        self.count = 0
        self.began = self.told = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> Self:
        """Begin."""
        if sys.stderr.isatty():
            self.bar = click.progressbar(
                length=self.length,
                label=self.label,
                file=sys.stderr,
                show_eta=True,
                show_pos=True,
                item_show_func=lambda _item: f"{self.rate:,.0f}/s",
            )
            self.bar.__enter__()
        return self

    @property
    def rate(self) -> float:
        """So many a second, on the whole."""
        return self.count / max(time.monotonic() - self.began, 0.001)

    def on(self, count: int) -> None:
        """Count on."""
        self.count += count
        if self.bar is not None:
            self.bar.update(count)
        elif time.monotonic() - self.told >= PAUSE:
            self.told = time.monotonic()
            left = (self.length - self.count) / max(self.rate, 0.001)
            line = f"{self.label}: {self.count:,} of {self.length:,}, {self.rate:,.0f}/s, {left:,.0f} s left"
            print(line, file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        if self.bar is not None:
            self.bar.__exit__(kind, fault, trace)
        if kind is None:
            seconds = time.monotonic() - self.began
            print(f"{self.label}: {self.count:,} in {seconds:,.1f} s, {self.rate:,.0f}/s", file=sys.stderr, flush=True)
