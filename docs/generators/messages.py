"""Every message that a user can get, collected from the code without running it.

A message stands in the code as `raise UserError(f"...")` or alike. `collect` returns
each as a pattern: capitals such as NAME stand for a value, and `[A / B]` for
alternatives.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "cnn_jax"

# What makes an error whose text is the first argument, beside `UserError` and the
# classes derived from it.
ERRORS = {"UserError", "ArgumentTypeError"}
WARNINGS = {"DataWarning"}
# Functions of one file that do the same.
OWN = {"core/guard.py": {"_error"}, "command.py": {"_fail"}}
# Functions of one file whose last argument is the middle of a message.
FRAMES = {("data/pixel_values.py", "_warn"): "PICTURE has {}."}
UNKNOWN = "unknown {}. Did you mean 'NEAREST'? Known: NAMES."
UNCLEAR = "VALUE"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, order=True)
class Message:
    """A message of one place in the code.

    Attributes:
      file: the path below `cnn_jax/`.
      function: the qualified name of the function around it.
      text: the pattern.
      kind: "error", "warning", or "flags" for a wrong flag.
    """

    file: str
    function: str
    text: str
    kind: str


def collect(package: Path = PACKAGE) -> list[Message]:
    """Returns the messages of all files, each once, in the order of the files."""
    files = {
        path.relative_to(package).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(package.rglob("*.py"))
    }
    errors, warnings = _derived(files, ERRORS), _derived(files, WARNINGS)
    inlined = _Inlined(_constants(files.values()))
    files = {name: inlined.visit(tree) for name, tree in files.items()}
    found: dict[Message, None] = {}
    for name, tree in files.items():
        own = errors | OWN.get(name, set())
        for call, scopes in _calls(tree):
            text = _message(call, scopes, own | warnings)
            frame = FRAMES.get((name, _called(call)))
            if frame:
                text = frame.format(_text(call.args[-1], scopes))
            if (name, scopes and scopes[-1].name) in FRAMES:
                continue
            if text is None or not any(map(str.islower, text)):
                continue  # only hands on a text that was made elsewhere
            kind = "warning" if frame or _called(call) in warnings else "error"
            kind = "flags" if _called(call) == "error" else kind
            function = ".".join(scope.name for scope in scopes)
            found[Message(name, function, " ".join(text.split()), kind)] = None
    return list(found)


def _derived(files: dict[str, ast.Module], names: set[str]) -> set[str]:
    """The names, and those of all classes that are derived from them."""
    bases = {
        node.name: {_name(base) for base in node.bases}
        for tree in files.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    known, before = set(names), set()
    while known != before:
        before = set(known)
        known |= {name for name, theirs in bases.items() if theirs & known}
    return known


def _constants(trees: Iterable[ast.Module]) -> dict[str, str]:
    """Texts that modules give a name in capitals, such as `CONFIG = "config.json"`.

    Where two modules differ in a name, it is left out.
    """
    values: dict[str, set[str]] = {}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                name = _name(node.targets[0])
                if name.isupper() and isinstance(node.value.value, str):
                    values.setdefault(name, set()).add(node.value.value)
    return {name: value for name, (value, *others) in values.items() if not others}


class _Inlined(ast.NodeTransformer):
    """Puts the texts of constants in the place of their names."""

    def __init__(self, constants: dict[str, str]):
        self._constants = constants

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._inlined(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return self._inlined(node)

    def _inlined(self, node: ast.Name | ast.Attribute) -> ast.expr:
        text = self._constants.get(_name(node))
        loaded = text is not None and isinstance(node.ctx, ast.Load)
        return ast.Constant(text) if loaded else node


Scopes = tuple[Function | ast.ClassDef, ...]


def _calls(tree: ast.AST, scopes: Scopes = ()) -> Iterator[tuple[ast.Call, Scopes]]:
    """All calls below a node, each with the classes and functions around it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            yield node, scopes
        inner = isinstance(node, Function | ast.ClassDef)
        yield from _calls(node, (*scopes, node) if inner else scopes)


def _message(call: ast.Call, scopes: Scopes, makers: set[str]) -> str | None:
    """The text of a call that makes a message; None for any other call."""
    name = _called(call)
    if name == "unknown" and len(call.args) >= 2:
        kind = _text(call.args[0], scopes)
        return UNKNOWN.format(f"{kind} '{_text(call.args[1], scopes)}'")
    is_flags = name == "error" and isinstance(call.func, ast.Attribute)
    if is_flags and _name(call.func.value) in ("parser", "self") and call.args:
        return _text(call.args[0], scopes)
    if name in makers and call.args:
        return _text(call.args[0], scopes)
    return None


def _called(call: ast.Call) -> str:
    return _name(call.func)


def _name(node: ast.AST) -> str:
    """The last part of a dotted name; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _text(node: ast.AST, scopes: Scopes, seen: frozenset[str] = frozenset()) -> str:
    """The pattern of the text that an expression makes.

    Args:
      seen: the variables that are followed already.
    """
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, scopes, seen) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        number = node.format_spec is not None and _is_number(node.format_spec)
        if number and isinstance(node.value, ast.BinOp | ast.Call):
            return "N"
        return _text(node.value, scopes, seen)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, scopes, seen) + _text(node.right, scopes, seen)
    if isinstance(node, ast.IfExp):
        options = [_text(part, scopes, seen) for part in (node.body, node.orelse)]
        return _either(options)
    if isinstance(node, ast.Name):
        value = None if node.id in seen else _assigned(node.id, scopes)
        text = _text(value, scopes, seen | {node.id}) if value else UNCLEAR
        return node.id.strip("_").upper() if text == UNCLEAR else text
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_").upper()
    if isinstance(node, ast.Call) and _called(node) in ("len", "sum", "round"):
        return "N"
    if isinstance(node, ast.Subscript):
        return _name(node.value).strip("_").upper() or UNCLEAR
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return "PATH"
    if isinstance(node, ast.Call) and _called(node) in ("join", "either", "sorted"):
        return "NAMES"
    if isinstance(node, ast.Call) and _called(node) in ("str", "repr", "Path", "text"):
        return _text(node.args[0], scopes, seen) if node.args else UNCLEAR
    return UNCLEAR


def _either(options: list[str]) -> str:
    """Alternatives: `[A / B]`, and `[A]` for a text that may be missing."""
    present = [option for option in options if option]
    if not present or UNCLEAR in present:
        return UNCLEAR
    return f"[{' / '.join(dict.fromkeys(present))}]"


def _is_number(spec: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Constant) and str(part.value)[-1:] in ",fdg%"
        for part in ast.walk(spec)
    )


def _assigned(name: str, scopes: Scopes) -> ast.AST | None:
    """The text that a local variable gets; None where it is no text, or more than one.

    Only texts are followed: of other values their names say more.
    """
    functions = [scope for scope in scopes if isinstance(scope, Function)]
    if not functions:
        return None
    values = [
        node.value
        for node in ast.walk(functions[-1])
        if isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and _name(node.targets[0]) == name
    ]
    is_text = len(values) == 1 and isinstance(
        values[0], ast.JoinedStr | ast.IfExp | ast.BinOp | ast.Constant
    )
    return values[0] if is_text and _has_text(values[0]) else None


def _has_text(node: ast.AST) -> bool:
    """Returns whether an expression has a text of its own, with a space or a letter."""
    return any(
        isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value
        for part in ast.walk(node)
    )
