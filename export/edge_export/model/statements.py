"""Which statements of a file a class needs: imports, definitions, and the assignments of the names that they use.

Many a file that holds a class also trains it: an import would download data, train for minutes and overwrite the
checkpoint. Of a file that does more than define, only what is needed is run.
"""

import ast
import symtable


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
            if place in taken or not (_always(statement) or names & _bound(statement)):
                continue
            taken.add(place)
            names |= _globals_of(statement)
            grown = True
    return [statement for place, statement in enumerate(tree.body) if place in taken]


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
