"""The page in a browser: drawn, dropped, typed, narrow and dark; and the pad's frame, which is Python's to the byte."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

import edge.service
from edge.bundle import shipped
from edge.picture.ink.normalisation import fit_frame
from edge.service.requests import Settings

WEB = Path(edge.service.__file__).parent / "web"
NODE = shutil.which("node")

# Ten digits as a person draws them: points as shares of the pad.
DIGITS = {
    "0": [
        [(0.5, 0.2), (0.35, 0.3), (0.3, 0.5), (0.35, 0.7), (0.5, 0.8), (0.65, 0.7), (0.7, 0.5), (0.65, 0.3), (0.5, 0.2)]
    ],
    "1": [[(0.5, 0.15), (0.5, 0.5), (0.5, 0.85)]],
    "2": [
        [
            (0.3, 0.32),
            (0.36, 0.2),
            (0.5, 0.15),
            (0.64, 0.22),
            (0.66, 0.36),
            (0.5, 0.58),
            (0.3, 0.82),
            (0.5, 0.82),
            (0.72, 0.82),
        ]
    ],
    "3": [
        [
            (0.32, 0.22),
            (0.5, 0.15),
            (0.66, 0.26),
            (0.62, 0.42),
            (0.48, 0.48),
            (0.64, 0.55),
            (0.68, 0.7),
            (0.5, 0.84),
            (0.3, 0.76),
        ]
    ],
    "4": [[(0.4, 0.15), (0.28, 0.55), (0.5, 0.55), (0.75, 0.55)], [(0.62, 0.3), (0.6, 0.6), (0.58, 0.88)]],
    "7": [[(0.28, 0.2), (0.5, 0.2), (0.7, 0.2), (0.58, 0.5), (0.45, 0.85)]],
}


def node(script, *arguments):
    """What a module script prints as JSON."""
    if NODE is None:
        pytest.skip("Node is not installed; on Debian: apt install nodejs")
    words = [NODE, "--input-type=module", "--eval", script, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def drawn(count, seed):
    """Strokes of random walks: long and short, flat and steep, at the edge, and single dots."""
    random = np.random.default_rng(seed)
    everything = []
    for at in range(count):
        strokes = []
        for _ in range(int(random.integers(1, 4))):
            points = np.cumsum(random.normal(0, 0.06, (int(random.integers(1, 20)), 2)), axis=0) + random.uniform(
                0.2, 0.8, 2
            )
            strokes.append((points * ([1, 0.05] if at % 7 == 0 else [1, 1])).round(4).tolist())
        everything.append(strokes)
    return everything


def test_the_pads_frame_is_pythons_to_the_byte(tmp_path):
    drawings = tmp_path / "drawings.json"
    drawings.write_text(json.dumps(drawn(40, seed=15)))
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ fitFrame, maskOf }} from {json.dumps((WEB / "framing.js").as_uri())};
        const drawings = JSON.parse(readFileSync({json.dumps(str(drawings))}, "utf8"));
        console.log(JSON.stringify(drawings.map((strokes) => {{
            const mask = maskOf(strokes);
            return {{ ...mask, pixels: [...mask.pixels], image: [...fitFrame(mask)] }};
        }})));
    """
    found = node(script)
    assert len(found) == 40
    for each in found:
        mask = np.array(each["pixels"], np.uint8).reshape(each["height"], each["width"]) > 0
        assert each["image"] == fit_frame(mask).ravel().tolist()


def test_nothing_drawn_is_no_image():
    script = f"import {{ imageOf }} from {json.dumps((WEB / 'framing.js').as_uri())}; console.log(imageOf([]));"
    assert node(script) is None


# In a browser

_place = Path(__file__).parent / "browser.py"
_spec = importlib.util.spec_from_file_location("edge_tests_browser", _place)
driving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(driving)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if driving.CHROMIUM is None or driving.DRIVER is None:
        pytest.skip(driving.MISSING)
    with driving.browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def address(run):
    settings = Settings(
        tuple(shipped.locate(name) for name in ("lstm-int8", "cnn-16k")), port=0, access_log=False, watch_seconds=0.0
    )
    with run(settings) as found:
        yield f"http://127.0.0.1:{found.client.port}/"


@pytest.fixture
def page(browser, address):
    """The page, freshly opened; in the end nothing may stand on its console but what the test expects."""
    browser.prefer("light")
    browser.resize(1100, 1000)
    browser.open(address)
    browser.wait_for(lambda: browser.run("return document.querySelectorAll('#bars li').length === 10"))
    browser.errors()
    return browser


@pytest.mark.parametrize("kind", ["mouse", "touch", "pen"])
@pytest.mark.sampled(1)
def test_a_digit_is_answered_while_it_is_drawn(page, kind):
    page.draw("#pad", DIGITS["7"], kind)
    page.wait_for(lambda: page.text("#label") == "7")
    assert page.run("return document.querySelector('.best .bar-label').textContent") == "7"
    assert page.errors() == []


@pytest.mark.exhaustive  # one digit stands for the six
def test_digits_are_read_as_drawn(page):
    for label, strokes in DIGITS.items():
        page.run("document.querySelector('#clear').click()")
        page.draw("#pad", strokes)
        page.wait_for(lambda label=label: page.text("#label") == label)


def test_the_page_shows_what_the_model_sees_and_what_it_believes_row_by_row(page):
    page.draw("#pad", DIGITS["2"])
    page.wait_for(lambda: "settled at row" in page.text("#rows-caption"))
    inked = page.run(
        "const c = document.querySelector('#image'); const d = c.getContext('2d').getImageData(0, 0, 28, 28).data;"
        "return [...d].filter((value, at) => at % 4 === 0 && value > 0).length"
    )
    assert 40 < inked < 250


def test_what_is_no_digit_is_told(page):
    scribble = [
        [(x / 20, 0.2 + 0.6 * (x % 2)) for x in range(2, 19)],
        [(0.1 + 0.8 * (y % 2), y / 12) for y in range(2, 11)],
    ]
    page.draw("#pad", scribble)
    page.wait_for(lambda: "not a digit" in page.text("#confidence"))
    assert page.run("return document.querySelector('#verdict').classList.contains('rejected')")


def test_undo_and_clear_take_strokes_away(page):
    page.draw("#pad", DIGITS["4"])
    page.wait_for(lambda: page.text("#label") == "4")
    page.run("document.querySelector('#undo').click(); document.querySelector('#undo').click()")
    page.wait_for(lambda: page.text("#label") == "")
    page.draw("#pad", DIGITS["1"])
    page.wait_for(lambda: page.text("#label") == "1")
    page.press("\ue00c")  # Escape
    page.wait_for(lambda: page.text("#label") == "")


def test_the_keyboard_alone_draws(page):
    page.run("document.querySelector('#pad').focus()")
    page.press(" " + "\ue015" * 12)  # space puts the pen down, arrow down
    page.wait_for(lambda: page.text("#label") == "1")


def test_a_picture_is_read_on_the_server(page, tmp_path, golden):
    from PIL import Image

    label, image = golden[0]
    page_of_paper = np.full((200, 200), 230, np.uint8)
    page_of_paper[60:144, 60:144] = 230 - np.repeat(np.repeat(image, 3, 0), 3, 1) * 0.8
    Image.fromarray(page_of_paper).save(tmp_path / "photo.png")
    page.choose_file("#file", tmp_path / "photo.png")
    page.wait_for(lambda: page.text("#label") == label)
    assert page.run("return !document.querySelector('#picture').hidden")
    page.draw("#pad", DIGITS["7"])  # drawing goes on where the picture was
    page.wait_for(lambda: page.text("#label") == "7")
    assert page.run("return document.querySelector('#picture').hidden")


def test_a_dropped_file_that_is_no_picture_is_told(page):
    page.run(
        "const data = new DataTransfer(); data.items.add(new File(['no picture'], 'a.png', {type: 'image/png'}));"
        "document.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))"
    )
    page.wait_for(lambda: "not a picture" in page.text("#problem"))


def test_another_model_answers_what_is_drawn_already(page):
    page.draw("#pad", DIGITS["7"])
    page.wait_for(lambda: page.text("#label") == "7")
    page.run("const s = document.querySelector('#model'); s.value = 'cnn-16k'; s.dispatchEvent(new Event('change'))")
    page.wait_for(lambda: "cnn-16k" in page.text("#facts"))
    page.wait_for(lambda: page.text("#label") == "7")
    assert page.run("return document.querySelector('#rows-figure').hidden")


def test_a_narrow_window_needs_no_sideways_scrolling(page):
    page.resize(500, 800)
    assert page.run("return document.documentElement.scrollWidth <= window.innerWidth")
    page.draw("#pad", DIGITS["2"])
    page.wait_for(lambda: page.text("#label") == "2")


def test_a_dark_page_has_light_letters(page):
    def lightness(what):
        return page.run(
            "const c = getComputedStyle(document.body)[arguments[0]].match(/[0-9.]+/g).slice(0, 3).map(Number);"
            "return (c[0] + c[1] + c[2]) / 3",
            what,
        )

    assert lightness("color") < lightness("backgroundColor")
    page.prefer("dark")
    assert lightness("color") > lightness("backgroundColor")


def test_the_documents_page_lists_every_address(browser, address):
    browser.open(address + "docs")
    browser.wait_for(lambda: browser.run("return document.querySelectorAll('#operations section').length") > 12)
    assert "/v2/models/{model}/infer" in browser.text("#operations")
