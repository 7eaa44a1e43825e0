"""Every small mistake that could be made in a module, one at a time: what mutation testing calls its mutants.

A home-made one, because the kernel is mostly dates and tables: mutmut changes function bodies only, and leaves
constants, tables, defaults and properties as they are. Annotations, decorators, docstrings and what texts say are not
mutated.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
UNTOUCHED = {"annotation", "returns", "decorator_list", "type_params", "bases"}


@dataclass(frozen=True)
class Mutant:
    """`name` survives lines that move: function, what stood there, what stands there now."""

    module: str
    name: str
    source: str


def make_mutants(module: str, source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its text."""
    tree = ast.parse(source)
    found: list[Mutant] = []
    seen: Counter[str] = Counter()
    for path, owner in _places(tree):
        node = _at(tree, path)
        for changed in _mistakes(node):
            mutated = copy.deepcopy(tree)
            _put(mutated, path, changed)
            name = f"{module}.{owner}: {_change(node, changed)}"
            seen[name] += 1
            number = f" #{seen[name]}" if seen[name] > 1 else ""
            found.append(Mutant(module, name + number, ast.unparse(ast.fix_missing_locations(mutated))))
    return found


Path = tuple[tuple[str, int | None], ...]


def _places(tree: ast.AST, *, path: Path = (), owner: str = "") -> Iterator[tuple[Path, str]]:
    for field, value in ast.iter_fields(tree):
        if field in UNTOUCHED or (isinstance(tree, ast.Subscript) and field == "slice" and _is_type(tree)):
            continue
        children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if not isinstance(child, ast.AST):
                continue
            name = _name_of(child, owner)
            here = (*path, (field, index))
            yield here, name or "(module)"
            yield from _places(child, path=here, owner=name)


def _name_of(node: ast.AST, owner: str) -> str:
    """The function, class or module-level name a node belongs to."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return f"{owner}.{name}" if owner else name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if not owner:
            return name
    return owner


def _is_type(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"dict", "list", "tuple", "set", "frozenset", "type"}


def _mistakes(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=ops):
            for number, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield _with(node, ops=[*ops[:number], other(), *ops[number + 1 :]])
        case ast.BoolOp(op=boolean):
            yield _with(node, op=ast.Or() if isinstance(boolean, ast.And) else ast.And())
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            yield _with(node, op=ARITHMETIC[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(number)):
            yield ast.Constant(number + 1)
            yield ast.Constant(number - 1)
        case ast.Name(id=name, ctx=ast.Load()) if name in SWAPPED:
            yield _with(node, id=SWAPPED[name])
        case ast.Return(value=ast.expr() as value) if not _is_mutated_itself(value):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.Tuple(elts=items, ctx=ast.Load()) | ast.List(elts=items, ctx=ast.Load()) | ast.Set(elts=items):
            for number in range(len(items)):
                yield _without(node, number)
        case ast.Dict(keys=keys, values=values):
            for number in range(len(keys)):
                yield _with(
                    node, keys=keys[:number] + keys[number + 1 :], values=values[:number] + values[number + 1 :]
                )
    match node:
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test) if _is_plain(test):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.comprehension(ifs=[test]) if _is_plain(test):
            yield _with(node, ifs=[ast.UnaryOp(ast.Not(), test)])


def _is_mutated_itself(value: ast.expr) -> bool:
    """A constant that has mutants of its own, or none to have."""
    return isinstance(value, ast.Constant) and (value.value is None or isinstance(value.value, int))


def _is_plain(test: ast.expr) -> bool:
    """A condition with no operator of its own to mutate."""
    return not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp)


def _without(node: ast.Tuple | ast.List | ast.Set, number: int) -> ast.AST:
    rest = node.elts[:number] + node.elts[number + 1 :]
    if isinstance(node, ast.Set) and not rest:
        return ast.Call(ast.Name("set", ast.Load()), [], [])
    return _with(node, elts=rest)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _at(tree: ast.AST, path: Path) -> ast.AST:
    node: ast.AST = tree
    for field, index in path:
        found = getattr(node, field)
        node = found if index is None else found[index]
    return node


def _put(tree: ast.AST, path: Path, node: ast.AST) -> None:
    *above, (field, index) = path
    parent = _at(tree, tuple(above))
    if index is None:
        setattr(parent, field, copy.deepcopy(node))
    else:
        getattr(parent, field)[index] = copy.deepcopy(node)


def _change(node: ast.AST, changed: ast.AST) -> str:
    """What is said of a mistake. Tables can be long, so of one that lacks an entry it is the entry."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
        kept = {id(item) for item in _entries(changed)}
        return f"without {', '.join(_text(item) for item in _entries(node) if id(item) not in kept)}"
    return f"{_text(node)} -> {_text(changed)}"


def _entries(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Dict(keys=keys, values=values):
            return [key or value for key, value in zip(keys, values, strict=True)]
        case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
            return items
    return []


def _text(node: ast.AST) -> str:
    """One line of source; of a statement with a body its head alone."""
    if isinstance(node, ast.comprehension):
        return " ".join(f"if {ast.unparse(test)}" for test in node.ifs)
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    return text.splitlines()[0] if text else ""
