"""Writes the reference page of the Python package, from its source, to standard output. Imports nothing of it."""

import ast
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "python" / "zrecipe"
# Modules, and what users import them as.
MODULES = {
    "_program": "zrecipe",
    "checking": "zrecipe.checking",
    "submitting": "zrecipe.submitting",
    "services": "zrecipe.services",
    "testing": "zrecipe.testing",
}


def prose(text):
    """Documentation as Markdown: roles and double back-ticks become code, examples become blocks."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    text = text.replace("``", "`")
    lines, inside, listed = [], False, False
    for line in text.splitlines():
        # `Args:` and what is indented below it.
        if re.fullmatch(r"(Args|Returns|Raises|Yields):", line):
            lines += [f"**{line[:-1]}**", ""]
            listed = True
            continue
        if listed and line.startswith("    "):
            name, colon, rest = line.strip().partition(": ")
            is_new = not line.startswith("     ") and colon
            lines.append(f"- `{name}`: {rest}" if is_new else f"  {line.strip()}" if "- " in lines[-1] else line.strip())
            continue
        is_example = line.startswith((">>>", "..."))
        if is_example != inside:
            lines.append("```python" if is_example else "```")
            inside = is_example
        lines.append(re.sub(r"^(>>>|\.\.\.) ?", "", line).split("  # doctest:")[0] if is_example else line)
    if inside:
        lines.append("```")
    return "\n".join(lines).strip()


def exported(tree):
    """The names in ``__all__``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", None) == "__all__" for t in node.targets):
            return ast.literal_eval(node.value)
    return []


def members(body):
    """Functions, and fields with the text below them."""
    for node, after in zip(body, [*body[1:], None]):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            yield f"`{ast.unparse(node.target)}: {ast.unparse(node.annotation)}`", after.value.value
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node):
            if not node.name.startswith("_"):
                yield f"`{signature(node)}`", ast.get_docstring(node).split("\n\n")[0]


def signature(node):
    """A function as it is called."""
    arguments = ast.unparse(node.args)
    arguments = re.sub(r"^(self|cls)(, )?", "", arguments)
    is_property = any(getattr(decorator, "id", None) == "property" for decorator in node.decorator_list)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}{returns}" if is_property else f"{node.name}({arguments}){returns}"


def wrapped(text):
    """A signature in lines of 90 columns at most, with an argument a line."""
    text = re.sub(r"(?<=[\w\]])=", " = ", text)
    if len(text) <= 90:
        return text
    name, rest = text.split("(", 1)
    arguments, returns = rest.rsplit(")", 1)
    parts, depth = [""], 0
    for character in arguments:
        depth += (character in "[(") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return f"{name}(\n" + "".join(f"    {part.strip()},\n" for part in parts) + f"){returns}"


def page():
    """The whole page."""
    yield "# Python API\n"
    yield (
        "This page is derived from the source of the package `zrecipe`. `pip install zrecipe` installs it. All names but\n"
        "those of `zrecipe.testing` can be imported from `zrecipe`. `pytest --zrecipe PATH` makes each recipe a test.\n"
    )
    for name, title in MODULES.items():
        tree = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
        yield f"## {title}\n"
        yield prose(ast.get_docstring(tree)) + "\n"
        wanted = exported(tree)
        functions = {}
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name in wanted:
                functions.setdefault(node.name, node)
                if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
                    functions[node.name] = node
        for node in functions.values():
            if isinstance(node, ast.ClassDef):
                bases = ", ".join(ast.unparse(base) for base in node.bases)
                yield f"### {node.name}\n"
                yield f"`class {node.name}({bases})`\n" if bases else f"`class {node.name}`\n"
            else:
                yield f"### {node.name}\n"
                yield f"```python\n{wrapped(signature(node))}\n```\n"
            if ast.get_docstring(node):
                yield prose(ast.get_docstring(node)) + "\n"
            rows = list(members(node.body)) if isinstance(node, ast.ClassDef) else []
            if rows:
                yield "| member | meaning |\n|---|---|"
                for member, text in rows:
                    yield f"| {member} | {prose(' '.join(text.split()))} |".replace("`|`", "`\\|`")
                yield ""


def escaped(text):
    """Bars inside of code in tables do not end a cell."""
    cell = re.compile(r"`[^`]*`")
    return "\n".join(
        cell.sub(lambda code: code[0].replace("|", "\\|"), line) if line.startswith("| ") else line
        for line in text.splitlines()
    )


sys.stdout.write(escaped("\n".join(page())).rstrip() + "\n")
