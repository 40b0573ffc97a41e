"""Cutting, splicing and comparing functions by the syntax tree."""

import ast
import functools
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
EMPTY_PACKAGES = ("minigen.models", "minigen.metrics")  # a handout has only some of their modules
LONG = 30  # characters of an expression that is no coincidence


def path_of(module):
    """The file of a module, relative to the folder of the package; None where there is none."""
    path = PACKAGE.parent / Path(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file.relative_to(PACKAGE.parent)
    return None


@functools.cache
def text_of(module):
    """The source of a module of the project; of an empty package only the docstring."""
    source = (PACKAGE.parent / path_of(module)).read_text(encoding="utf-8")
    return f'"""{ast.get_docstring(ast.parse(source))}"""\n' if module in EMPTY_PACKAGES else source


def closure(modules):
    """The project's modules that these import, directly or not, with their packages; in order."""
    found, todo = set(), list(modules)
    while todo:
        module = todo.pop()
        if module in found or not module.startswith("minigen") or path_of(module) is None:
            continue
        found.add(module)
        todo.append(module.rpartition(".")[0])
        for node in ast.walk(ast.parse(text_of(module))):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return sorted(found)


def is_row(node, name):
    """Whether a statement is the row of a function in the table of derivatives."""
    call = getattr(node, "value", None)
    return isinstance(call, ast.Call) and ast.unparse(call.func) == "vjp_of" and ast.unparse(call.args[0]) == name


def locate(tree, function):
    """(list of statements, index) of a function "name" or "Class.name", or of the row of "np.exp"; None where it is missing."""
    if function.startswith("np."):
        places = [(tree.body, i) for i, node in enumerate(tree.body) if is_row(node, function)]
        return places[-1] if places else None
    body, place = tree.body, None
    for name in function.split("."):
        place = next(((body, i) for i in reversed(range(len(body))) if getattr(body[i], "name", None) == name), None)
        if place is None:
            return None
        body = getattr(place[0][place[1]], "body", [])
    return place if isinstance(place[0][place[1]], ast.FunctionDef) else None


def cut(source, functions):
    """The source with the bodies of functions, {name: message}, replaced by raising NotImplementedError(message)."""
    lines = source.splitlines()
    edits = []
    for function, message in functions.items():
        place = locate(ast.parse(source), function)
        if place is None:
            raise ValueError(f"there is no function {function} to cut")
        node = place[0][place[1]]
        if function.startswith("np."):
            rules = [f'lambda {ast.unparse(rule.args)}: unwritten("{message}")' for rule in node.value.args[1:]]
            edits.append((node.lineno - 1, node.end_lineno, f"vjp_of({function}, {', '.join(rules)})"))
            continue
        if ast.get_docstring(node) is None:
            raise ValueError(f"{function} has no docstring: nothing would tell a student what to write")
        first = node.body[0]
        if first.lineno == node.lineno or len(node.body) < 2:
            raise ValueError(f"{function} has its body on the line of its def, or none")
        edits.append((first.end_lineno, node.end_lineno, f'{" " * first.col_offset}raise NotImplementedError("{message}")'))
    for start, stop, text in sorted(edits, reverse=True):
        lines[start:stop] = [text]
    if any(name.startswith("np.") for name in functions):
        at = 1 + max(n.end_lineno for n in ast.parse(source).body if isinstance(n, (ast.Import, ast.ImportFrom))) - 1
        lines[at:at] = [
            "",
            "",
            "def unwritten(message):",
            '    """A rule that is still to be written."""',
            "    raise NotImplementedError(message)",
        ]
    return "\n".join(lines) + "\n"


def phrases(node):
    """The long expressions and statements within a node, as text, docstrings and idioms aside."""
    kinds, idioms = (ast.expr, ast.Assign, ast.Return), (ast.Constant, ast.ListComp, ast.IfExp)
    nodes = (n for n in ast.walk(node) if isinstance(n, kinds) and not isinstance(n, idioms))
    return {text for text in map(ast.unparse, nodes) if len(text) >= LONG}


def solution(function, source):
    """The phrases of a function's body."""
    body, i = locate(ast.parse(source), function)
    node = body[i]
    return phrases(node) if function.startswith("np.") else set().union(*map(phrases, node.body))


def names(node):
    """The names that a top-level statement binds."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def splice(reference, student, functions):
    """The reference's source with these functions of the student's tree, and the helpers, constants and imports that the student added."""
    tree = ast.parse(reference)
    own = set().union(*map(names, tree.body))
    added = [node for node in student.body if names(node) and not names(node) & own and not is_future(node)]
    added = [n for n in added if getattr(n, "name", "") != "unwritten"]
    where = {name: k for k, node in enumerate(tree.body) for name in names(node)}
    for function in functions:
        body, i = locate(tree, function)
        place = locate(student, function)
        node = place[0][place[1]]
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = body[i].decorator_list
            if "." in function:
                known = {getattr(n, "name", None) for n in body}
                body[i:i] = [n for n in place[0] if isinstance(n, ast.FunctionDef) and n.name not in known]
                i = next(k for k, n in enumerate(body) if getattr(n, "name", None) == node.name)
        body[i] = node
    rows = list(enumerate(tree.body))
    behind = max((k for k, n in rows if isinstance(n, (ast.Import, ast.ImportFrom))), default=0)
    for node in student.body:  # what was added stays behind what it stands behind: it may use that
        behind = max([behind, *(where[name] for name in names(node) & own)])
        rows += [(behind + 0.5, node)] if node in added else []
    tree.body = [node for _, node in sorted(rows, key=lambda row: row[0])]
    return ast.unparse(tree)


def is_future(node):
    """Whether a statement is `from __future__ import …`, which may only come first."""
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
