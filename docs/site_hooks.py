"""What the site needs beside the pages as they lie here: pages from elsewhere in the project, titles of code blocks."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "client/README.md": "client.md",
}
"""Pages that lie outside docs/, and what the site calls them."""

PLACES = {**ELSEWHERE, "README.md": "index.md", "docs/adr": "adr/README.md"}
"""Where a link to something outside docs/, or to a folder, leads on the site."""

LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)]*)?\))")
FOREIGN = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?https?:[^>]*>")
TITLED = re.compile(r"^```(\w+) ([\w./-]+)$", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie elsewhere."""
    for path, name in ELSEWHERE.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links to where the site has what they name, and give code blocks the name of their file as title."""
    names = {name: path for path, name in ELSEWHERE.items()}
    folder = posixpath.dirname(names.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def lead(link: re.Match[str]) -> str:
        place = posixpath.normpath(posixpath.join(folder, link[2]))
        target = PLACES.get(place) or (place.removeprefix("docs/") if place.startswith("docs/") else "")
        here = posixpath.dirname(page.file.src_uri) or "."
        return f"{link[1]}{posixpath.relpath(target, here)}{link[3]}" if target else link[0]

    return TITLED.sub(r'```\1 title="\2"', LINK.sub(lead, markdown))


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Refuse a page that would load something from another host: the site has to work without a network."""
    if found := FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    return output
