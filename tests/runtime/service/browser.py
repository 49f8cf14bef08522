"""A browser for tests: Chromium through its driver and the WebDriver protocol, with Python's own HTTP client.

Source: https://www.w3.org/TR/webdriver2/.
"""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
MISSING = "Chromium and its driver are not installed; on Debian: apt install chromium chromium-driver"

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's identifier, by the specification
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
_SECONDS = 20.0


class Browser:
    """One window."""

    def __init__(self, port: int, session: str) -> None:
        self._port = port
        self._session = session

    def open(self, address: str) -> None:
        """Goes to a page."""
        self._post("url", url=address)

    def run(self, script: str, *arguments: object) -> Any:
        """Runs a script in the page and returns what it returns."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def text(self, selector: str) -> str:
        """The text of the first element that fits."""
        return str(self.run("return document.querySelector(arguments[0]).textContent.trim()", selector))

    def wait_for(self, condition: Callable[[], object]) -> Any:
        """Waits until something is true, and returns it."""
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.05)
        raise AssertionError(
            f"not true within {_SECONDS} s; the page says: {self.run('return document.body.innerText')}"
        )

    def draw(self, selector: str, strokes: Sequence[Sequence[tuple[float, float]]], kind: str = "mouse") -> None:
        """Draws strokes on an element, points as shares of its sides, with real pointer events."""
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        box = self.run(
            "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [b.left, b.top, b.width, b.height]",
            selector,
        )
        actions: list[dict[str, Any]] = []
        for stroke in strokes:
            for at, (x, y) in enumerate(stroke):
                actions.append(
                    {
                        "type": "pointerMove",
                        "duration": 0,
                        "origin": "viewport",
                        "x": round(box[0] + x * box[2]),
                        "y": round(box[1] + y * box[3]),
                    }
                )
                if at == 0:
                    actions.append({"type": "pointerDown", "button": 0})
            actions.append({"type": "pointerUp", "button": 0})
        self._post(
            "actions",
            actions=[{"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": actions}],
        )

    def press(self, keys: str) -> None:
        """Types keys, one after the other; special ones by their code points."""
        pressed = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("actions", actions=[{"type": "key", "id": "keys", "actions": pressed}])

    def choose_file(self, selector: str, path: Path) -> None:
        """Puts a file into an input."""
        found = self._post("element", using="css selector", value=selector)[_ELEMENT]
        self._post(f"element/{found}/value", text=str(path))

    def resize(self, width: int, height: int) -> None:
        """Sets the size of the window, pixels."""
        self._post("window/rect", width=width, height=height)

    def prefer(self, scheme: str) -> None:
        """Prefers light or dark pages."""
        command = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._post("goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params=command)

    def screenshot(self, path: Path) -> None:
        """Writes what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(_request(self._port, "GET", f"/session/{self._session}/screenshot")))

    def errors(self) -> list[str]:
        """What the console complained about."""
        entries = self._post("se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def _post(self, command: str, **body: object) -> Any:
        return _request(self._port, "POST", f"/session/{self._session}/{command}", body)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile; it ends with the block."""
    assert DRIVER is not None
    assert CHROMIUM is not None
    driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        port = _port_of(driver)
        options = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": [*_FLAGS, f"--user-data-dir={profile}"]},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        session = _request(port, "POST", "/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]
        try:
            yield Browser(port, session)
        finally:
            _request(port, "DELETE", f"/session/{session}")
    finally:
        driver.terminate()
        driver.wait(timeout=10)
        if driver.stdout is not None:
            driver.stdout.close()


def _port_of(driver: "subprocess.Popen[str]") -> int:
    assert driver.stdout is not None
    for line in driver.stdout:
        if "started successfully on port" in line:
            return int(line.strip().rstrip(".").rpartition(" ")[2])
    raise AssertionError("the driver ended before it listened")


def _request(port: int, method: str, path: str, body: object = None) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        content = None if method == "GET" else json.dumps(body or {})
        connection.request(method, path, content, {"content-type": "application/json"})
        answer = json.loads(connection.getresponse().read())["value"]
    finally:
        connection.close()
    if isinstance(answer, dict) and "error" in answer:
        raise AssertionError(f"{answer['error']}: {answer['message']}")
    return answer
