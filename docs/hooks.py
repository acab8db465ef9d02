"""What mkdocs does beside its plugins: formulas as MathML, links of notebooks.

GitHub renders `$a+b$` and `$$a+b$$` by itself. Here they become MathML, which browsers
draw without a script.
"""

import html
import logging
import posixpath
import re
from typing import Any

from latex2mathml.converter import convert

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
    return INLINE.sub(lambda found: convert(found[1]), text)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Returns a page with its formulas as MathML; code stays as it is."""
    parts = CODE.split(markdown)
    parts[::2] = map(formulas, parts[::2])
    return "".join(parts)


def on_page_content(content: str, *, page: Any, files: Any, **_: object) -> str:
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
