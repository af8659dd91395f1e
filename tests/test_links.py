"""Every relative link of the documentation leads somewhere."""

import re
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_relative_links_resolve(checkout: Path) -> None:
    pages = [checkout / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    pages += sorted((checkout / "docs").rglob("*.md"))
    links = [(page, link) for page in pages for link in LINK.findall(page.read_text("utf-8"))]
    relative = [(page, link.split("#")[0]) for page, link in links if not re.match(r"[a-z]+:|#", link)]
    broken = [f"{page.relative_to(checkout)}: {link}" for page, link in relative if not (page.parent / link).exists()]
    assert relative, "no links were found"
    assert not broken, f"these lead nowhere: {broken}"
