"""What mkdocs does beside its plugins: formulas as MathML.

GitHub renders `$a+b$` and `$$a+b$$` by itself. Here they become MathML, which browsers
draw without a script.
"""

import re

from latex2mathml.converter import convert

CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\\w$])\$(?!\s)([^$\n]+?)(?<!\s)\$(?![\w$])")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Returns a page with its formulas as MathML; code stays as it is."""
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
