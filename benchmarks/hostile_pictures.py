"""The cases of benchmarks/hostile.py that are picture files."""

from collections.abc import Callable
from pathlib import Path

import hostile_files as make
from hostile_cases import Case, Words


def _picture(content: Callable[[], bytes]) -> Words:
    def words(folder: Path) -> list[str]:
        (folder / "picture").write_bytes(content())
        return ["predict", "picture"]

    return words


def pictures() -> list[Case]:
    """Small files that cost much, and the largest that are read."""
    exif = b"II*\0" + make.struct.pack("<IH", 8, 2700)
    exif += b"".join(make.struct.pack("<HHII", 1000 + tag, 7, 60_000, 8) for tag in range(2700)) + bytes(4)
    exif += bytes(65_000 - len(exif))
    blank, saved = make.blank, make.saved
    read = (0, 1)  # of a page of one tone: no digit; of noise: perhaps one
    long = make.Image.new
    tiff = make.tiff_directory
    made: list[tuple[int, str, Callable[[], bytes], tuple[int, ...]]] = [
        (8, "PNG of 1 x 800 000", lambda: saved(long("RGB", (1, 800_000)), "PNG"), (1,)),
        (8, "PNG of 100 MP, grey", lambda: make.png_of(10_000, 10_000, 8, 0), read),
        (8, "PNG of 100 MP, grey noise", lambda: make.noise(10_000, 10_000, "PNG", compress_level=1), read),
        (8, "PNG of 65 535 x 1 525, grey noise", lambda: make.noise(65_535, 1525, "PNG", compress_level=1), read),
        (8, "PNG of 100 MP, palette with transparency", lambda: make.palette_with_transparency(10_000), read),
        (8, "PNG of 45 MP, RGB", lambda: make.png_of(6_700, 6_700, 8, 2), read),
        (8, "PNG of 38 MP, RGBA of 16 bits", lambda: make.png_of(6_150, 6_150, 16, 6), read),
        (8, "PNG of 75 MP, grey of 16 bits", lambda: make.png_of(8_650, 8_650, 16, 0), read),
        (
            8,
            "PNG of 45 MP, colours of one luminance",
            lambda: make.pale_colours("RGB", 6_700, 6_700, "PNG", compress_level=1),
            read,
        ),
        (
            8,
            "PNG of 38 MP, the same with alpha",
            lambda: make.pale_colours("RGBA", 6_150, 6_150, "PNG", compress_level=1),
            read,
        ),
        (
            8,
            "TIFF of 100 MP, floating point",
            lambda: saved(blank("F", 10_000, 10_000), "TIFF", compression="tiff_adobe_deflate"),
            (1,),
        ),
        (
            8,
            "TIFF of 37 MP, floating point",
            lambda: saved(blank("F", 6_100, 6_100), "TIFF", compression="tiff_adobe_deflate"),
            read,
        ),
        (8, "TIFF of 37 MP, CMYK", lambda: saved(blank("CMYK", 6_100, 6_100), "TIFF", compression="tiff_lzw"), read),
        (
            8,
            "WebP of 100 MP, lossless with alpha",
            lambda: saved(blank("RGBA", 10_000, 10_000), "WEBP", lossless=True, method=0, quality=0),
            (1,),
        ),
        (
            8,
            "WebP of 12 MP, lossless",
            lambda: saved(blank("RGB", 4_000, 3_000), "WEBP", lossless=True, method=0, quality=0),
            read,
        ),
        (8, "GIF of 100 MP, transparent", lambda: saved(blank("P", 10_000, 10_000), "GIF", transparency=0), read),
        (8, "JPEG of 100 MP, RGB", lambda: saved(blank("RGB", 10_000, 10_000), "JPEG"), read),
        (8, "JPEG of 60 MP, CMYK", lambda: saved(blank("CMYK", 7_700, 7_700), "JPEG"), read),
        (
            8,
            "JPEG of 74 MP, progressive RGB",
            lambda: saved(blank("RGB", 8_600, 8_600), "JPEG", progressive=True),
            read,
        ),
        (8, "TIFF of 100 x 100 in a tile of 2 000 MP", make.tile_bomb, (1,)),
        (
            8,
            "BMP of 100 MP in runs of one pixel a row",
            lambda: make.bmp_in_runs(10_000, 10_000, b"\1\0\0\0" * 10_000),
            (1,),
        ),
        (
            8,
            "BMP of 1 MP and 10 million ends of line",
            lambda: make.bmp_in_runs(1000, 1000, b"\0\0" * 10_000_000),
            (1,),
        ),
        (9, "progressive JPEG of 100 MP, 300 scans", lambda: make.scans(blank("L", 10_000, 10_000), 300), (1,)),
        (9, "progressive JPEG of 100 MP, 64 scans", lambda: make.scans(blank("L", 10_000, 10_000), 64), (1,)),
        (9, "progressive JPEG of 31 MP, 64 scans", lambda: make.scans(blank("L", 5_580, 5_580), 64), read),
        (10, "damaged fax TIFF", make.damaged_fax, (1,)),
        (10, "TIFF of 65 535 samples a pixel", lambda: make.tiff(tiff((277, 3, 1, 65_535))), (1,)),
        (
            17,
            "PNG with an unknown chunk of 500 MB",
            lambda: make.png_with(make.chunk(b"abCd", bytes(500_000_000))),
            (1,),
        ),
        (17, "PNG with a million chunks", lambda: make.png_with(make.chunk(b"abCd", b"") * 1_000_000), (1,)),
        (
            17,
            "PNG with 300 MB behind its pixels",
            lambda: make.png_with(make.chunk(b"IDAT", bytes(300_000_000)), b"IEND"),
            (1,),
        ),
        (
            17,
            "PNG with a colour profile that inflates to 100 MB",
            lambda: make.png_with(make.chunk(b"iCCP", b"x\0\0" + make.deflated_zeros(100_000_000))),
            read,
        ),
        (
            17,
            "JPEG with 5 000 camera notes of 64 KB",
            lambda: make.jpeg_with((b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)) * 5_000),
            (1,),
        ),
        (17, "JPEG with a million comments", lambda: make.jpeg_with(b"\xff\xfe\0\3x" * 1_000_000), (1,)),
        (17, "JPEG with 100 MB of filling", lambda: make.jpeg_with(b"\xff" * 100_000_000), (1,)),
        (
            17,
            "JPEG whose camera notes name 162 MB in 65 KB",
            lambda: make.jpeg_with(b"\xff\xe1" + make.struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif),
            read,
        ),
        (
            17,
            "TIFF with 60 000 entries of the same megabyte",
            lambda: make.tiff(tiff(*((1000 + tag, 7, 1_000_000, 720_058) for tag in range(60_000))), bytes(1_000_000)),
            (1,),
        ),
        (
            17,
            "TIFF with 25 million strips",
            lambda: make.tiff(tiff((273, 4, 25_000_000, 200), (279, 4, 25_000_000, 200)), bytes(100_000_200)),
            (1,),
        ),
        (17, "WebP with camera notes of 200 MB", lambda: make.webp_with_notes(200_000_000), (1,)),
        (17, "GIF with a million comments", lambda: make.gif_with(b"!\xfe\x01x\0" * 1_000_000), (1,)),
    ]
    return [Case(kind, name, _picture(content), codes) for kind, name, content, codes in made]
