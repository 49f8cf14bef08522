"""Makes the pictures of the service's page in docs/serve.md, with Chromium and its driver.

python docs/screenshots.py
"""

import importlib.util
import math
import sys
import tempfile
import threading
from pathlib import Path

from edge.bundle import shipped
from edge.service.requests import Settings
from edge.service.server import Service, listening

FOLDER = Path(__file__).parent / "pictures"
BROWSER = Path(__file__).resolve().parents[1] / "tests" / "runtime" / "service" / "browser.py"

WIDE, NARROW = (1100, 860), (500, 900)
THREE = [
    [(0.5 - 0.19 * math.sin(t), 0.32 - 0.16 * math.cos(t)) for t in [0.9 - 0.3 * k for k in range(12)]]
    + [(0.52 - 0.21 * math.sin(t), 0.64 - 0.17 * math.cos(t)) for t in [0.2 - 0.3 * k for k in range(13)]]
]


def main() -> int:
    """Draws on the page and keeps what it shows, light and wide, dark and narrow."""
    specification = importlib.util.spec_from_file_location("browser", BROWSER)
    assert specification is not None
    assert specification.loader is not None
    browsing = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(browsing)
    if browsing.DRIVER is None or browsing.CHROMIUM is None:
        print(browsing.MISSING, file=sys.stderr)
        return 1
    bundles = tuple(Path(shipped.locate(name)) for name in ("lstm-int8", "gru-int8", "cnn-16k-int8"))
    with listening(Settings(bundles, port=0, access_log=False)) as bound, tempfile.TemporaryDirectory() as profile:
        service = Service(Settings(bundles, port=0, access_log=False), bound)
        thread = threading.Thread(target=service.run)
        thread.start()
        try:
            with browsing.browser(Path(profile)) as window:
                for name, size, scheme in (("page", WIDE, "light"), ("page-dark", NARROW, "dark")):
                    window.prefer(scheme)
                    window.resize(*size)
                    window.open(f"http://127.0.0.1:{bound.getsockname()[1]}/")
                    window.wait_for(lambda: window.run("return document.querySelectorAll('#bars li').length === 10"))
                    window.draw("#pad", THREE)
                    window.wait_for(lambda: "settled" in window.text("#rows-caption"))
                    window.run("window.scrollTo(0, 0); document.activeElement.blur()")
                    window.screenshot(FOLDER / f"{name}.png")
                    print(FOLDER / f"{name}.png")
        finally:
            service.end()
            thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
