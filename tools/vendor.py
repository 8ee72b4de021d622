#!/usr/bin/env python3
# ruff: noqa: SIM905
"""Rebuild `static/vendor/` from unpacked packages: a subset of Tabler's stylesheet, one sprite of Tabler's icons, and uPlot.

    python3 tools/vendor.py CORE ICONS UPLOT

CORE, ICONS and UPLOT are the folders of the unpacked npm packages named in `PACKAGES`. Their checksums are checked first, so that
the same input gives the same files. Needs nothing but Python's standard library.

The whole stylesheet is 79 KB compressed, of which the pages use a few controls and the base rules. What is kept: every
rule that names only elements, `:root`, attributes and the classes in `CLASSES`; every custom property that a kept rule or
`css/app.css` reads. All else goes.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "static" / "vendor"
PACKAGES = {
    "core": ("@tabler/core", "1.6.1", "dist/css/tabler.min.css", "370a2d4e608ae518351d10528fc7dbe19b354ae5062c51b2a9cb294850d65403"),
    "icons": ("@tabler/icons", "3.51.0", "icons/outline", ""),
    "plot": ("uplot", "1.6.32", "dist/uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
    "plotcss": ("uplot", "1.6.32", "dist/uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
}
CLASSES = frozenset(
    "btn btn-primary btn-danger btn-sm form-control form-select form-label form-check form-check-input is-invalid disabled".split()
)
ELEMENTS = frozenset(
    "* html body a abbr b strong small code pre kbd samp h1 h2 h3 h4 p ul ol li dl dt dd hr table thead tbody tfoot tr th td caption"
    " button input select optgroup textarea label fieldset legend progress summary svg img output iframe".split()
)
ICONS = (
    "adjustments alert-triangle arrow-back-up arrow-left arrow-right ban check chevron-down circle-x clock copy database database-import"
    " database-off device-desktop dots download eye file-import filter-off flag git-compare history hourglass inbox infinity"
    " info-circle key keyboard list-details lock login logout menu-2 minus moon pencil player-pause player-play player-stop plug"
    " plug-off plus refresh search selector settings shield star sun trash upload user x zoom-cancel"
).split()

Rule = tuple[str, "str | list[Rule]"]
"""Prelude and either declarations or nested rules."""
_PROPERTY = re.compile(r"--[\w-]+")


def parse(css: str) -> list[Rule]:
    """Rules of a minified sheet. Strings and brackets are respected; statements without a block (`@charset`) are dropped."""
    return list(_rules(re.sub(r"/\*.*?\*/", "", css, flags=re.S)))


def _rules(css: str) -> Iterator[Rule]:
    at = 0
    while at < len(css):
        stop = _find(css, at, "{;")
        if stop == len(css):
            return
        prelude = css[at:stop].strip()
        if css[stop] == ";":
            at = stop + 1
            continue
        end = _block_end(css, stop)
        body = css[stop + 1 : end]
        nested = prelude.startswith(("@media", "@supports", "@layer", "@container"))
        yield prelude, list(_rules(body)) if nested else body
        at = end + 1


def _find(css: str, at: int, wanted: str) -> int:
    quote, depth = "", 0
    for index in range(at, len(css)):
        char = css[index]
        if quote:
            quote = "" if char == quote and css[index - 1] != "\\" else quote
        elif char in "\"'":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif depth == 0 and char in wanted:
            return index
    return len(css)


def _block_end(css: str, start: int) -> int:
    depth, at = 0, start
    while at < len(css):
        depth += {"{": 1, "}": -1}[css[at]]
        if depth == 0:
            return at
        at = _find(css, at + 1, "{}")
    raise SystemExit("The stylesheet ends inside a block.")


def split(text: str, at: str) -> list[str]:
    """Split at a character that stands outside strings and brackets."""
    parts, start = [], 0
    while (stop := _find(text, start, at)) < len(text):
        parts.append(text[start:stop])
        start = stop + 1
    return [*parts, text[start:]]


def selector_kept(selector: str) -> bool:
    """Whether every class and element in a selector is one that the pages use."""
    bare = re.sub(r"\[[^\]]*\]", "", selector)
    if set(re.findall(r"\.([\w-]+)", bare)) - CLASSES:
        return False
    elements = re.findall(r"(?:^|[\s>+~,(])([a-z][\w-]*|\*)", re.sub(r"::?[\w-]+", "", bare))
    return "#" not in bare and not set(elements) - ELEMENTS


def prune(rules: list[Rule]) -> list[Rule]:
    """Rules with only the selectors that are used; empty ones go."""
    kept: list[Rule] = []
    for prelude, body in rules:
        if isinstance(body, list):
            if inner := prune(body):
                kept.append((prelude, inner))
        elif not prelude.startswith("@"):
            selectors = [part for part in split(prelude, ",") if selector_kept(part)]
            if selectors and body:
                kept.append((",".join(selectors), body))
    return kept


def read_properties(rules: list[Rule]) -> set[str]:
    """Custom properties that are read somewhere, by `var()`."""
    text = render(rules)
    return set(re.findall(r"var\((--[\w-]+)", text))


def without_unread(rules: list[Rule], also_read: set[str]) -> list[Rule]:
    """Drop declarations of custom properties that nothing reads, until nothing changes."""
    while True:
        read = read_properties(rules) | also_read
        slimmer = _drop(rules, read)
        if render(slimmer) == render(rules):
            return rules
        rules = slimmer


def _drop(rules: list[Rule], read: set[str]) -> list[Rule]:
    kept: list[Rule] = []
    for prelude, body in rules:
        if isinstance(body, list):
            if inner := _drop(body, read):
                kept.append((prelude, inner))
            continue
        lines = [d for d in split(body, ";") if d.strip() and not ((m := _PROPERTY.match(d.strip())) and m[0] not in read)]
        if lines:
            kept.append((prelude, ";".join(lines)))
    return kept


def render(rules: list[Rule]) -> str:
    return "\n".join(f"{prelude}{{{render(body) if isinstance(body, list) else body}}}" for prelude, body in rules)


def sprite(folder: Path) -> str:
    """One SVG with a `<symbol id="i-NAME">` for each icon."""
    symbols = []
    for name in ICONS:
        text = (folder / f"{name}.svg").read_text()
        shapes = re.search(r"<svg[^>]*>(.*)</svg>", text, re.S)
        assert shapes, name
        inner = re.sub(r'<path stroke="none"[^>]*/>', "", shapes[1])
        symbols.append(f'<symbol id="i-{name}" viewBox="0 0 24 24">{" ".join(inner.split())}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the icons in a folder in the order of `ICONS`."""
    parts = [path] if path.is_file() else [path / f"{name}.svg" for name in ICONS]
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()


def checked(folder: str, key: str) -> Path:
    """A file of a package, which has to be the one that is meant."""
    package, version, name, wanted = PACKAGES[key]
    path = Path(folder) / name
    if wanted and digest(path) != wanted:
        raise SystemExit(f"{path} is not the file of {package} {version}.")
    return path


def plot(source: Path) -> str:
    """uPlot's script or sheet as it is, under a head that says what it is."""
    text = re.sub(r"\A/\*!.*?\*/\s*", "", source.read_text(), flags=re.S)
    return f"/*! uPlot {PACKAGES['plot'][1]}, MIT, Copyright (c) 2022 Leon Sorokin */\n{text.strip()}\n"


def main(core: str, icons: str, uplot: str) -> None:
    """Write the subset, the sprite, the chart and `VENDOR.tsv`."""
    sheet, icon_folder = checked(core, "core"), checked(icons, "icons")
    script, script_sheet = checked(uplot, "plot"), checked(uplot, "plotcss")
    own = set(re.findall(r"var\((--[\w-]+)", (ROOT / "static" / "css" / "app.css").read_text()))
    rules = without_unread(prune(parse(sheet.read_text())), own)
    header = f"/* A subset of {PACKAGES['core'][0]} {PACKAGES['core'][1]}, MIT, Copyright The Tabler Authors. Made by tools/vendor.py. */\n"
    (TARGET / "tabler.css").write_text(header + render(rules) + "\n")
    (TARGET / "icons.svg").write_text(sprite(icon_folder))
    (TARGET / "uplot.js").write_text(plot(script))
    (TARGET / "uplot.css").write_text(plot(script_sheet))
    lines = ["file\tsha256\tpackage\tversion\tlicence\tmade from\tsha256 of its source"]
    for name, key, source in (
        ("tabler.css", "core", sheet),
        ("icons.svg", "icons", icon_folder),
        ("uplot.js", "plot", script),
        ("uplot.css", "plotcss", script_sheet),
    ):
        package, version, made_from, _ = PACKAGES[key]
        lines.append("\t".join((name, digest(TARGET / name), package, version, "MIT", made_from, digest(source))))
    (TARGET / "VENDOR.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
