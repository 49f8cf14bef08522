"""Print on pages of digits: faces and words in two halves, one to fit to and one to judge by, and pages with them.

Faces are those that matplotlib brings, and Pillow's own. No family and no word is in both halves.
"""

from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from hard_sheet import Sheet
from PIL import Image, ImageDraw, ImageFont

# Of the faces and of the words, those to fit to, and those that are kept from it.
PILLOWS_OWN: Final = ""
FACES: Final = (
    ("DejaVuSans", "DejaVuSerif-Bold", "cmr10", "DejaVuSans-Bold", "cmtt10", "DejaVuSerif", "DejaVuSans-Oblique"),
    ("STIXGeneral", "DejaVuSansMono", "cmss10", PILLOWS_OWN, "STIXGeneralBol", "DejaVuSansMono-Bold", "cmb10"),
)
WORDS_TO_FIT: Final = (
    "Maria Keller/Invoice/Telephone/Smith/Results/Counter reading/Martin/Address/Position/Hausnummer/Anna/Monday/Room/"
    "Delivery note/Age/Patient/Weight in kg/James/Konto/Exercise/Sheet/Betrag/Year/Jones/Laura/Street/Stock/Customer/"
    "Score/Nom"
)
WORDS_KEPT: Final = (
    "Peter Brandt/Receipt/Mobile/Taylor/Homework/Meter/Sophie/City/Rechnung/Postleitzahl/Oliver/Friday/Floor/"
    "Order form/Height/Student/Temperature/Emma/Kunde/Question/Page/Summe/Month/Brown/Lukas/Avenue/Quantity/Member/"
    "Points/Vorname"
)
WORDS: Final = WORDS_TO_FIT.split("/"), WORDS_KEPT.split("/")
FIELDS: Final = (
    ("Name:", "Tel.", "Code", "Date:", "Amount", "Ref:", "Size", "No", "PIN:", "From"),
    ("Phone:", "No.", "Date", "Total", "ID:", "Qty", "Nr.", "Price:", "Time", "Zip code"),
)
SMALLEST_PRINT: Final = 10  # pixels


def printed(
    page: Sheet, text: str, at: tuple[float, float], size: float, face: str, *, is_number: bool = False
) -> float:
    """Prints a text.

    Args:
        page: what it is printed on.
        text: on one line.
        at: where its ink begins, pixels from the left, and the line that it stands on, pixels from above.
        size: height of a capital letter, pixels.
        face: a name of `FACES`.
        is_number: whether it is digits that shall be read.

    Returns:
        Where its ink ends, pixels.
    """
    left, foot = at
    points = max(SMALLEST_PRINT, round(size / 0.72))
    font = face_of(face, points)
    wide, margin = round(font.getlength(text)), points // 2
    picture = Image.new("L", (wide + 2 * margin, 2 * points + 2 * margin))
    ImageDraw.Draw(picture).text((margin, margin + points), text, fill=255, font=font, anchor="ls")
    strength = page.random.uniform(0.75, 1.0)
    small = np.asarray(picture, np.float64) / 255 * strength
    page.lay(small, round(foot) - margin - points, round(left) - margin, is_digit=is_number)
    if not is_number:
        page.others = True
    return left + wide


def face_of(name: str, points: int) -> ImageFont.FreeTypeFont:
    """A face at that size."""
    if name == PILLOWS_OWN:
        font = ImageFont.load_default(points)
        assert isinstance(font, ImageFont.FreeTypeFont), "Pillow without FreeType has no face of any size"
        return font
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), points)


def any_face(page: Sheet) -> str:
    """One of the half that the page is of."""
    return str(page.random.choice(FACES[page.is_held]))


def any_word(page: Sheet) -> str:
    """One of the half that the page is of, in capitals now and then."""
    word = str(page.random.choice(WORDS[page.is_held]))
    return word.upper() if page.random.integers(4) == 0 else word


def heading(page: Sheet, foot: float) -> None:
    """A printed line across the page."""
    face, text = any_face(page), any_word(page)
    size = page.tall * page.random.uniform(0.35, 1.0)
    room = page.size[0] - 0.8 * page.tall
    at_one = face_of(face, 100).getlength(text) / 72
    size = min(size, room / at_one)
    left = page.tall * 0.4 + max(0.0, room - at_one * size) * page.random.uniform(0, 1)
    printed(page, text, (left, foot), size, face)


def print_above(page: Sheet) -> Image.Image:
    """A printed name or heading above the digits."""
    heading(page, page.tall * 1.2)
    page.rows(2, (4, 7), top=2.8)
    return page.photo()


def print_below(page: Sheet) -> Image.Image:
    """A printed name or heading below the digits."""
    rows = page.rows(2, (4, 7))
    heading(page, page.tall * (1.6 + 1.7 * (rows - 1) + 1.4))
    return page.photo()


def print_beside(page: Sheet) -> Image.Image:
    """A printed word before or behind a number, on the same line."""
    face, text = any_face(page), str(page.random.choice(FIELDS[page.is_held]))
    size = page.tall * page.random.uniform(0.35, 0.9)
    foot, left = page.tall * 1.6, page.tall * 0.6
    before = bool(page.random.integers(3))
    if before:
        left = printed(page, text, (left, foot), size, face) + page.tall * page.random.uniform(0.45, 1.0)
    left = page.number(int(page.random.integers(3, 6)), left, foot)
    if not before:
        printed(page, text, (left + page.tall * page.random.uniform(0.3, 0.7), foot), size, face)
    return page.photo()


def fields(page: Sheet) -> Image.Image:
    """A printed form: a word at the beginning of each line, a number behind it, mostly on a rule."""
    face = any_face(page)
    size = page.tall * page.random.uniform(0.3, 0.7)
    words = page.random.permutation(FIELDS[page.is_held])[: int(page.random.integers(2, 4))]
    start = page.tall * 0.5 + max(face_of(face, 100).getlength(word) for word in words) / 72 * size
    start += page.tall * page.random.uniform(0.4, 0.8)
    ruled, width = page.random.integers(3), max(1.0, page.tall / 45)
    for row, word in enumerate(words.tolist()):
        foot = page.tall * (1.4 + 1.6 * row)
        printed(page, word, (page.tall * 0.4, foot), size, face)
        end = page.number(int(page.random.integers(2, 6)), start, foot - page.tall * 0.04)
        if ruled:
            page.rule(start - 0.2 * page.tall, max(end, page.size[0] - page.tall), foot + page.tall * 0.12, width)
    return page.photo()


def printed_digits(page: Sheet) -> Image.Image:
    """Numbers in print, alone or below a printed word."""
    face, foot = any_face(page), page.tall * 1.4
    if page.random.integers(3) == 0:
        heading(page, foot)
        foot += page.tall * 1.7
    for _ in range(int(page.random.integers(1, 3))):
        text = "".join(map(str, page.random.integers(0, 10, int(page.random.integers(2, 7)))))
        size = page.tall * page.random.uniform(0.8, 1.0)
        printed(page, text, (page.tall * page.random.uniform(0.4, 1), foot), size, face, is_number=True)
        page.texts.append(text)
        foot += page.tall * 1.7
    return page.photo()
