"""What mkdocs does beside its plugins: pages from elsewhere, formulas, links.

GitHub renders `$a+b$` and `$$a+b$$` by itself. Here they become MathML, which browsers
draw without a script.
"""

import html
import logging
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

LOG = logging.getLogger("mkdocs.hooks")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\\w$])\$(?!\s)([^$\n]+?)(?<!\s)\$(?![\w$])")
# Parts of a notebook's page without formulas.
VERBATIM = re.compile(r"(<(pre|code|script|style)\b.*?</\2>)", re.DOTALL)
LINK = re.compile(r'href="(?!\w+:)([^"#]+\.(?:md|ipynb))(#[^"]*)?"')


def formulas(text: str) -> str:
    """Returns a text with its formulas as MathML."""
    text = BLOCK.sub(
        lambda found: f"\n{convert(found[1].strip(), display='block')}\n", text
    )
    # In a span: Markdown takes a line that begins with <math> for a block.
    return INLINE.sub(lambda found: f"<span>{convert(found[1])}</span>", text)


def on_files(files: Files, config: object) -> Files:
    """Returns the files of the site, with the pages from elsewhere."""
    for source, address in ELSEWHERE.items():
        # Addresses within docs/ are seen from docs/ itself.
        text = (ROOT / source).read_text(encoding="utf-8")
        text = text.replace("](docs/", "](").replace("](../docs/", "](../")
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
    parts[::2] = map(formulas, parts[::2])
    return "".join(parts)


def on_page_content(content: str, *, page: Page, files: Files, **_: object) -> str:
    """Returns a notebook's page with MathML, and with links to pages of the site.

    mkdocs does both for pages in Markdown. A notebook becomes HTML without it.
    """
    source = page.file.src_uri
    if not source.endswith(".ipynb"):
        return content

    def link(found: re.Match[str]) -> str:
        name = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        target = files.get_file_from_path(name)
        if target is None:
            LOG.warning(
                "'%s' contains a link to '%s', which is not found", source, name
            )
            return found[0]
        return f'href="{target.url_relative_to(page.file)}{found[2] or ""}"'

    def formula(text: str) -> str:
        unescaped = re.sub(
            r"\$\$.+?\$\$|\$[^$\n]+\$", lambda m: html.unescape(m[0]), text, flags=re.S
        )
        return formulas(unescaped)

    parts = VERBATIM.split(LINK.sub(link, content))
    # Text, then a verbatim part and its tag, and so on.
    del parts[2::3]
    parts[::2] = map(formula, parts[::2])
    return "".join(parts)
