"""What people see: progress that moves on a terminal, plain lines elsewhere."""

import os
import sys
import threading
import time

TTY = sys.stdout.isatty()
COLOUR = TTY and "NO_COLOR" not in os.environ
_CODES = {"green": "32", "red": "31", "dim": "2", "bold": "1"}
_lock = threading.Lock()
_status = ""


def paint(text: str, colour: str) -> str:
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if COLOUR else text


def line(text: str = "") -> None:
    """Prints a line above the status line, if there is one."""
    with _lock:
        if TTY and _status:
            sys.stdout.write("\r\x1b[2K")
        sys.stdout.write(text + "\n")
        if TTY and _status:
            sys.stdout.write(_status)
        sys.stdout.flush()


def _show(text: str) -> None:
    global _status
    with _lock:
        _status = text
        sys.stdout.write("\r\x1b[2K" + text)
        sys.stdout.flush()


class Doing:
    """Says what goes on and for how long: live on a terminal, else a line every 30 seconds."""

    def __init__(self, text: str):
        self.text = text
        self.began = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def say(self, text: str) -> None:
        self.text = text

    def _tick(self) -> None:
        every = 0.2 if TTY else 30.0
        while not self._done.wait(every):
            text = f"{self.elapsed:6.1f}s  ..    {self.text}"
            if TTY:
                _show(paint(text[:160], "dim"))
            else:
                line(text)

    def __enter__(self) -> "Doing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if TTY:
            _show("")
