"""The pages of the project: their text, links, headings, code and command lines."""

import ast
import re
import shlex
import unicodedata
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
PAGES += [ROOT / "experiments" / "README.md"]
# Files whose docstrings have commands for people.
SPOKEN = [
    path
    for folder in ("configs", "experiments", "cnn_jax")
    for path in sorted((ROOT / folder).glob("*.py"))
]

FENCE = re.compile(r"^( *)```+ *(\w*)[^\n]*\n(.*?)^\1```+ *$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?:(?: {4}.*)?\n)+", re.MULTILINE)
SPAN = re.compile(r"`+[^`]+`+")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
HEADING = re.compile(r"^#+ +(.*?)(?: *\{#([\w-]+)\})? *$", re.MULTILINE)
ANCHOR = re.compile(r"<\w+ [^>]*\b(?:id|name)=\"([^\"]+)\"")
# A line with a command, perhaps behind a prompt, variables or Slurm's `srun`.
COMMAND = re.compile(
    r"(?:\$ )?(?:\w+=\S+ )*(?:(?:srun|exec|time)(?: -\S+)* )?"
    r"(?:\S*/)?(?:python3? -m cnn_jax\.(?P<module>\w+)|cnn-jax (?P<name>[a-z]+)|"
    r"(?P<make>make)(?= [a-z]))(?P<rest>(?: .*)?)"
)
PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]*\b")


def name_of(path):
    """The path of a page as people say it."""
    return path.relative_to(ROOT).as_posix()


def without_code(text):
    """A page's text without its blocks and spans of code."""
    return SPAN.sub("", INDENTED.sub("\n", FENCE.sub("", text)))


def links(text):
    """The targets of a page's links and pictures."""
    return LINK.findall(without_code(text))


def anchors(text):
    """Returns the anchors of a page, as GitHub and as the site name them."""
    found, github, site = set(ANCHOR.findall(text)), {}, {}
    for title, given in HEADING.findall(FENCE.sub("", text)):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        title = title.replace("`", "").replace("\\", "")
        plain = re.sub(r"[^\w\s-]", "", title.lower()).strip()
        slug = plain.replace(" ", "-")
        count = github[slug] = github.get(slug, -1) + 1
        found.add(given or f"{slug}-{count}" if count else given or slug)
        ascii_ = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore")
        slug = re.sub(r"[-\s]+", "-", ascii_.decode())
        count = site[slug] = site.get(slug, -1) + 1
        found.add(f"{slug}_{count}" if count else slug)
    return found


def blocks(text):
    """The blocks of a page that may hold commands: (language, content)."""
    for _, language, content in FENCE.findall(text):
        if language not in ("python", "json", "yaml"):
            yield language, content
    for block in INDENTED.findall(FENCE.sub("", text)):
        yield "", block


def files(text):
    """The files that a page tells its reader to write: name and content."""
    pattern = r"```python\n# ([\w/]+\.py)\n(.*?)```"
    return dict(re.findall(pattern, text, re.DOTALL))


@dataclass(frozen=True)
class Line:
    """A command on a page.

    Attributes:
      where: the page.
      module: the command's module in `cnn_jax`; "make" for a target of the Makefile.
    """

    where: str
    module: str
    arguments: tuple[str, ...]

    @property
    def text(self):
        program = "make" if self.module == "make" else f"cnn_jax.{self.module}"
        return shlex.join([program, *self.arguments])

    @property
    def is_pattern(self):
        """Whether the reader must complete it: `--config.GROUP.KEY=VALUE`, `...`."""
        return any(
            "..." in argument or "<" in argument or "--config.GROUP" in argument
            for argument in self.arguments
        )


def commands(where, text, modules):
    """The commands in the blocks of a page.

    Args:
      modules: the module of each command of `cnn-jax`.
    """
    for _, block in blocks(text):
        yield from _commands(where, block, modules)


def spoken(path, modules):
    """The commands in the docstring of a config, an experiment or a command."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return commands(name_of(path), text, modules)


def _commands(where, block, modules):
    for line in re.sub(r"\\\n\s*", "", block).splitlines():
        found = COMMAND.match(line.strip())
        if not found:
            continue
        module = found["module"] or found["make"] or modules.get(found["name"])
        if module is None:
            raise ValueError(f"{where}: cnn-jax has no command {found['name']}")
        lexer = shlex.shlex(found["rest"], posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split, lexer.commenters = True, "#"
        arguments = []
        for word in lexer:
            if set(word) <= set("|&;<>"):
                break
            arguments.append(word)
        yield Line(where, module, tuple(arguments))
