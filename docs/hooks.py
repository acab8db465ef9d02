"""What mkdocs does beside its plugins: pages from elsewhere, and formulas as MathML.

GitHub renders `$a+b$` and `$$a+b$$` by itself. Here they become MathML, which browsers
draw without a script.
"""

import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Pages that lie outside of docs/, and their addresses.
ELSEWHERE = {
    "experiments/README.md": "measured/experiments.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}

CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\\w$])\$(?!\s)([^$\n]+?)(?<!\s)\$(?![\w$])")


def on_files(files: Files, config: object) -> Files:
    """Returns the files of the site, with the pages from elsewhere."""
    for source, address in ELSEWHERE.items():
        # Addresses within docs/ are seen from docs/ itself.
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, address, content=text))
    for plot in sorted((ROOT / "experiments" / "plots").glob("*.png")):
        address = f"measured/plots/{plot.name}"
        files.append(File.generated(config, address, abs_src_path=str(plot)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Returns a page with its formulas as MathML; code stays as it is.

    Links to the pages from elsewhere lead to their addresses.
    """
    folder = posixpath.dirname(page.file.src_uri)
    for source, address in ELSEWHERE.items():
        link = posixpath.relpath(source, posixpath.join("docs", folder))
        markdown = markdown.replace(
            f"]({link}", f"]({posixpath.relpath(address, folder)}"
        )
    parts = CODE.split(markdown)
    for i in range(0, len(parts), 2):
        parts[i] = BLOCK.sub(
            lambda found: f"\n{convert(found[1].strip(), display='block')}\n", parts[i]
        )
        # In a span: Markdown takes a line that begins with <math> for a block.
        parts[i] = INLINE.sub(
            lambda found: f"<span>{convert(found[1])}</span>", parts[i]
        )
    return "".join(parts)
