"""The few elements of HTML that the pages are built from. All text passes through `text`."""

import html
import re
from collections.abc import Iterable, Sequence
from importlib import resources

from edge import charts

# Letters of a cell from which on it is broken into lines: the layers of a CNN, no figure.
LONG = 40


def text(content: object) -> str:
    """Anything as text of a page."""
    return html.escape(str(content))


def table(heading: Sequence[str], rows: Iterable[Sequence[object]], *, words: int = 1) -> str:
    """A table whose first columns, as many as `words`, are words and whose other columns are numbers."""

    def cells(row: Sequence[object], tag: str) -> str:
        kinds = ["" if place < words else "number" for place in range(len(row))]
        kinds = [
            f"{kind} long".strip() if len(str(cell)) > LONG else kind for kind, cell in zip(kinds, row, strict=True)
        ]
        classes = [f' class="{kind}"' if kind else "" for kind in kinds]
        return "".join(f"<{tag}{kind}>{text(cell)}</{tag}>" for kind, cell in zip(classes, row, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>\n" for row in rows)
    head = f"<thead><tr>{cells(heading, 'th')}</tr></thead>"
    return f'<div class="wide"><table>\n{head}\n<tbody>\n{body}</tbody></table></div>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and what they stand for."""
    return (
        "<dl>" + "".join(f"<div><dt>{text(name)}</dt><dd>{text(fact)}</dd></div>\n" for name, fact in pairs) + "</dl>"
    )


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Large figures, each with what it is below."""
    return (
        '<ul class="tiles">' + "".join(f"<li><b>{text(one)}</b>{text(what)}</li>\n" for one, what in figures) + "</ul>"
    )


def section(title: str, *parts: str, apart: bool = False) -> str:
    """A part of the page; `apart` begins a new sheet of paper."""
    kind = ' class="apart"' if apart else ""
    return f"<section{kind}>\n<h2>{text(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(content: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{text(content)}</p>"


def picture(name: str, svg: str, description: str, note: str = "") -> str:
    """A picture as part of the page, in the page's own colours.

    Args:
        name: unique on the page; the SVG's names of its parts are put behind it.
        svg: from `charts.svg`.
        description: read aloud in place of the picture.
        note: below the picture.
    """
    drawing = svg[svg.index("<svg") :]  # HTML has no XML declaration and no other document type
    drawing = re.sub(r' xmlns(:\w+)?="[^"]*"', "", drawing).replace("xlink:href", "href")
    drawing = re.sub(r'( id="|"#|url\(#)', rf"\g<1>{name}-", drawing)
    drawing = drawing.replace(charts.INK, "currentColor").replace(f"fill: {charts.PAPER}", "fill: none")
    drawing = drawing.replace("<svg", f'<svg role="img" aria-label="{text(description)}"', 1)
    caption = f"<figcaption>{text(note)}</figcaption>" if note else ""
    return f'<figure class="{name}">{drawing.strip()}{caption}</figure>'


def page(title: str, *parts: str) -> str:
    """A whole document that refers to nothing outside itself."""
    style = resources.files("edge_train.report").joinpath("page.css").read_text(encoding="utf-8")
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
