"""Which statements of a file a class needs: imports, definitions, and the assignments of the names that they use.

Many a file that holds a class also trains it: an import would download data, train for minutes and overwrite the
checkpoint. Of a file that does more than define, only what is needed is run.
"""

import ast
import symtable

# Methods that something is built with, step by step: a parser of arguments, a list, a Sequential. None of them trains.
BUILDING = frozenset({
    "add_argument", "add_argument_group", "add_mutually_exclusive_group", "set_defaults", "append", "extend", "insert",
    "update", "add", "setdefault", "add_module", "register_module",
})  # fmt: skip


def only_define(tree: ast.Module) -> bool:
    """Whether a file does nothing that takes long when it is imported."""
    return all(_only_defines(statement) for statement in tree.body)


def needed(tree: ast.Module, wanted: set[str]) -> list[ast.stmt]:
    """The statements that bind the wanted names, and those that they need in turn, in the order of the file.

    Args:
        tree: of the file.
        wanted: names that the file binds.
    """
    taken: set[int] = set()
    names = set(wanted)
    grown = True
    while grown:
        grown = False
        for place, statement in enumerate(tree.body):
            built = _built(statement)
            if place in taken or not (_always(statement) or names & (_bound(statement) | built)):
                continue
            taken.add(place)
            names |= _globals_of(statement) | (_bound(statement) if built else set())
            grown = True
    return [statement for place, statement in enumerate(tree.body) if place in taken]


def opened(tree: ast.Module, name: str) -> ast.Module | None:
    """The file as if what makes a model inside a function, or for `python file.py` only, stood at its top.

    Args:
        tree: of the file.
        name: that somebody asks for.

    Returns:
        None where the name stands at the top already, or nowhere.
    """
    if any(name in _bound(statement) for statement in tree.body):
        return None
    inner = _opened(tree.body, name)
    return None if inner is None else ast.Module(inner, [])


def _opened(body: list[ast.stmt], name: str) -> list[ast.stmt] | None:
    for place, statement in enumerate(body):
        if not isinstance(statement, ast.FunctionDef | ast.If | ast.With | ast.Try):
            continue
        inner = statement.body
        if not any(name in _bound(one) for one in inner):
            deeper = _opened(inner, name)
            if deeper is None:
                continue
            inner = deeper
        given = _defaults(statement) if isinstance(statement, ast.FunctionDef) else []
        return [*body[:place], *body[place + 1 :], *given, *inner]
    return None


def _defaults(function: ast.FunctionDef) -> list[ast.stmt]:
    """The arguments of a function that have a value, as assignments."""
    arguments, values = function.args.args, function.args.defaults
    pairs = [*zip(arguments[len(arguments) - len(values) :], values, strict=True)]
    pairs += [
        (one, value) for one, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if value
    ]
    return [
        ast.fix_missing_locations(ast.copy_location(ast.Assign([ast.Name(one.arg, ast.Store())], value), value))
        for one, value in pairs
    ]


def _only_defines(statement: ast.stmt) -> bool:
    """Whether a statement at the top of a file does nothing that takes long: no loop, and no call."""
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return True
    if isinstance(statement, ast.For | ast.While | ast.With | ast.AsyncFor | ast.AsyncWith):
        return False
    if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
        return True
    return not any(isinstance(node, ast.Call) for node in ast.walk(statement))


def _always(statement: ast.stmt) -> bool:
    """Star imports, whose names nobody knows beforehand, and what makes imports possible."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__" or any(alias.name == "*" for alias in statement.names)
    return isinstance(statement, ast.Expr) and ast.unparse(statement).startswith("sys.path.")


def _built(statement: ast.stmt) -> set[str]:
    """The name that a statement adds something to, such as `parser.add_argument(...)`."""
    call = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
    method = call.func if isinstance(call, ast.Call) else None
    if isinstance(method, ast.Attribute) and method.attr in BUILDING and isinstance(method.value, ast.Name):
        return {method.value.id}
    return set()


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value; a loop, and the part for `python file.py`, count for none."""
    if isinstance(statement, ast.For | ast.While | ast.With) or (
        isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)
    ):
        return set()
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return {statement.name}
    if isinstance(statement, ast.Expr):
        return set()
    bound = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    if isinstance(statement, ast.If | ast.Try):
        bound |= {
            name
            for inner in ast.walk(statement)
            if isinstance(inner, ast.stmt) and inner is not statement
            for name in _bound(inner)
        }
    if isinstance(statement, ast.Assign):  # sizes["hidden"] = 128, Net.layers = 2
        bases = [target.value for target in statement.targets if isinstance(target, ast.Subscript | ast.Attribute)]
        bound |= {base.id for base in bases if isinstance(base, ast.Name)}
    return bound


def _globals_of(statement: ast.stmt) -> set[str]:
    """The names of the module that a statement uses, in its functions too."""
    found: set[str] = set()
    tables = [symtable.symtable(ast.unparse(statement), "statement", "exec")]
    while tables:
        table = tables.pop()
        at_top = table.get_type() == "module"
        found |= {one.get_name() for one in table.get_symbols() if one.is_referenced() and (at_top or one.is_global())}
        tables += table.get_children()
    return found
