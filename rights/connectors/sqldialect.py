"""What one make of database does otherwise than another; all the rest is SQLAlchemy Core.

A `Dialect` is asked while a statement is built, as it is about the statement's form: how keys of ours are handed over,
how a walk goes round, how rows are changed that a walk has found. Expressions that are only written otherwise are
elements here, compiled as PostgreSQL has them unless another make says how it does.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, CursorResult, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import DMLWhereBase
from sqlalchemy.sql.functions import FunctionElement, GenericFunction, ReturnTypeFromArgs
from sqlalchemy.sql.selectable import CTE, FromClause

from rights.connectors.base import Form
from rights.datamap import Mask

Changing = TypeVar("Changing", bound=DMLWhereBase)
CANONICAL_INTEGER = "^(0|-?[1-9][0-9]{0,17})"
CANONICAL_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
"""Text that is written as a number or a UUID is; the end of the text is another sign in each make."""


@dataclass(frozen=True)
class Trouble:
    """What an error of a database says; none of it holds a value.

    `code`: its number, of the given sort; empty where it has none. `away`: it cannot be reached, or is full or
    stopping. `late`: it was stopped as it took too long, or ran into somebody else. `shut`: it lets nobody in by this
    address (password, database). `remedy`: for the owner of the database.
    """

    code: str
    sort: str = "error"
    constraint: str = ""
    away: bool = False
    late: bool = False
    read_only: bool = False
    shut: bool = False
    remedy: str = ""

    @property
    def numbered(self) -> str:
        return f"{self.sort} {self.code or 'unknown'}"


class Dialect(Protocol):
    name: str
    """What people call the make."""
    changes_by_walk: bool
    """Whether a statement that changes rows may ask a walk about each of them as it is."""
    unmaskable: Mapping[Mask, str]
    """Masks that it cannot work out, each with what to do instead."""
    parallel_streams: bool
    """Whether a connection has several results that are read side by side, each as slowly as it is used."""

    # --- connections

    def open_engine(self, address: URL, *, connect_seconds: int, **options: Any) -> Engine: ...

    def read(self, connection: Connection, *, seconds: float) -> AbstractContextManager[Connection]:
        """A transaction that writes nothing and sees one moment; no statement of it takes longer."""
        ...

    def act(self, connection: Connection, *, seconds: float) -> AbstractContextManager[Connection]:
        """A transaction that writes and sees what others have committed; no statement of it takes longer."""
        ...

    def limit(self, connection: Connection, *, seconds: float) -> None:
        """Another limit for the rest of the transaction."""
        ...

    def let_stream(self, connection: Connection, *, seconds: float) -> None:
        """What is read next is read as slowly as it is used, up to so many seconds."""
        ...

    def prepare_trial(self, connection: Connection) -> None:
        """A few rows are about to be changed for a moment: wait for nobody, and hear at once what refuses it."""
        ...

    def prepare_survey(self, connection: Connection) -> None:
        """Hundreds of thousands of lines are about to be sorted and all of them fetched."""
        ...

    def find_obstacles(self, connection: Connection, table: sa.Table) -> list[str]:
        """The names of what may swallow or undo a change of a table's rows without a word."""
        ...

    def explain(self, error: DBAPIError) -> Trouble: ...

    def settle(self, connection: Connection, tables: Sequence[sa.Table]) -> list[str]:
        """Give reflected columns the types they are compared and parsed as. Returns why a table cannot be worked on."""
        ...

    # --- values of ours

    def key_in(
        self, columns: Sequence[ColumnElement[Any]], keys: Sequence[Sequence[Any]] | None, *, bind: str, name: str
    ) -> ColumnElement[bool]:
        """That a row is one of `keys`; without them, of those that `bound_keys` gives under `bind` when it runs."""
        ...

    def bound_keys(
        self, columns: Sequence[ColumnElement[Any]], keys: Sequence[Sequence[Any]], *, bind: str
    ) -> dict[str, Any]: ...

    def one_of(self, column: ColumnElement[Any], *, bind: str) -> ColumnElement[bool]:
        """That a column holds one of a list that is given under `bind` when it runs."""
        ...

    def given(
        self, columns: Mapping[str, sa.types.TypeEngine[Any]], rows: Sequence[Sequence[Any]], *, name: str
    ) -> sa.Select[Any]:
        """Rows of ours as a select."""
        ...

    # --- comparisons

    def compared(self, type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
        """The type in which a value of ours is compared with a column of this one: it is neither cut nor rounded."""
        ...

    def same(self, column: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[bool]:
        """That a column holds this very value: a letter's case and a space at the end count."""
        ...

    def as_subject(self, column: ColumnElement[Any], type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
        """An identity column as that by which persons are told apart."""
        ...

    def converted(self, column: ColumnElement[Any], type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
        """A parent's key as its child's column would hold it: the child's own stays bare, so that its index serves.

        Text becomes a number or a UUID only where it is written as one (007 is not 7); else it leads nowhere.
        """
        ...

    def by_bytes(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        """Text as what sorts by its bytes."""
        ...

    # --- statements

    def stored(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """A column as it is read; null where the make has another value that means none."""
        ...

    def select_by(
        self,
        labels: Sequence[ColumnElement[Any]],
        ways: Sequence[ColumnElement[bool]],
        chosen: Sequence[ColumnElement[bool]],
    ) -> sa.Select[Any] | sa.CompoundSelect[Any]:
        """The rows that any of the ways leads to, each once, and among them the chosen ones."""
        ...

    def led_by(self, columns: Sequence[ColumnElement[Any]], keys: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
        """That a row's columns hold one of the keys of a CTE."""
        ...

    def go_round(self, keys: CTE, steps: Sequence[sa.Select[Any]], *, name: str) -> CTE:
        """A recursive CTE that takes each of the steps from its rows until there is nothing new."""
        ...

    def empty(self, type_: sa.types.TypeEngine[Any]) -> ColumnElement[Any]:
        """Null, in the place of a value of this type in the first part of a recursive CTE."""
        ...

    def change_found(
        self, statement: Changing, columns: Sequence[ColumnElement[Any]], found: sa.Select[Any]
    ) -> Changing:
        """The statement for the rows whose key (`columns`) a select finds by a walk."""
        ...

    def change_chosen(
        self, statement: Changing, columns: Sequence[ColumnElement[Any]], *, bind: str, name: str
    ) -> Changing:
        """The statement for the rows whose key is one of those that `bound_keys` gives when it runs."""
        ...

    # --- files

    def shown(self, columns: Sequence[sa.Column[Any]], form: Form) -> list[ColumnElement[Any]]:
        """What is selected of an export's columns."""
        ...

    def lines(self, rows: sa.Select[Any], form: Form) -> sa.Select[Any]: ...

    def copy(
        self,
        connection: Connection,
        run: Callable[..., CursorResult[*tuple[Any, ...]]],
        columns: Sequence[sa.Column[Any]],
        *,
        form: Form,
        write: Callable[[bytes], object],
        seconds: float,
    ) -> int:
        """Hand the rows of `run(**execution options)` to `write` as text, in blocks; how many there were. `seconds`
        bounds a server that hangs."""
        ...


# --- expressions


class bool_or(GenericFunction[bool]):  # noqa: N801 - a function of SQL
    type = sa.Boolean()
    inherit_cache = True


class greatest(ReturnTypeFromArgs[Any]):  # noqa: N801 - a function of SQL
    """The largest of some days; null only where all of them are."""

    inherit_cache = True


class months_after(FunctionElement[Any]):  # noqa: N801
    """A day so many months later, the last of its month where that has no such day."""

    type = sa.Date()
    inherit_cache = True


class months_after_next_january(FunctionElement[Any]):  # noqa: N801
    """The last day of so many months that begin with the year after a day's."""

    type = sa.Date()
    inherit_cache = True


class is_written(FunctionElement[bool]):  # noqa: N801
    """Whether a text is as a pattern has it, byte for byte: a column's own order of letters may have another notion of
    a to f, or allow no pattern at all."""

    type = sa.Boolean()
    inherit_cache = True


class sha256_hex(FunctionElement[str]):  # noqa: N801
    """SHA-256 of a text in UTF-8, in hexadecimal."""

    type = sa.Text()
    inherit_cache = True


class hmac_hex(FunctionElement[str]):  # noqa: N801
    """HMAC-SHA-256 of a text in UTF-8, in hexadecimal, by the two padded blocks of its key (RFC 2104)."""

    type = sa.Text()
    inherit_cache = True


class number_of_hex(FunctionElement[int]):  # noqa: N801
    """15 hexadecimal digits as a number that is not negative."""

    type = sa.BigInteger()
    inherit_cache = True


class first_of_month(FunctionElement[Any]):  # noqa: N801
    """The first day of a day's month; of a moment, in Shanghai."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


class first_of_year(first_of_month):  # noqa: N801
    """The first day of a day's year."""

    inherit_cache = True


@compiles(is_written)
def _is_written(element: is_written, compiler: SQLCompiler, **kw: Any) -> str:
    text, pattern = element.clauses
    return compiler.process(text.collate("C").regexp_match(pattern), **kw)


@compiles(sha256_hex)
def _sha256_hex(element: sha256_hex, compiler: SQLCompiler, **kw: Any) -> str:
    (text,) = (compiler.process(each, **kw) for each in element.clauses)
    return f"encode(sha256(convert_to({text}, 'UTF8')), 'hex')"


@compiles(hmac_hex)
def _hmac_hex(element: hmac_hex, compiler: SQLCompiler, **kw: Any) -> str:
    text, inner, outer = (compiler.process(each, **kw) for each in element.clauses)
    return f"encode(sha256({outer} || sha256({inner} || convert_to({text}, 'UTF8'))), 'hex')"


@compiles(number_of_hex)
def _number_of_hex(element: number_of_hex, compiler: SQLCompiler, **kw: Any) -> str:
    (digits,) = (compiler.process(each, **kw) for each in element.clauses)
    return f"CAST(CAST('x' || {digits} AS BIT(60)) AS BIGINT)"


@compiles(first_of_month)
def _first_day(element: first_of_month, compiler: SQLCompiler, **kw: Any) -> str:
    (column,) = element.clauses
    unit = sa.literal_column("'year'" if isinstance(element, first_of_year) else "'month'", sa.Text())
    if isinstance(column.type, sa.DateTime) and column.type.timezone:
        zone = sa.literal_column("'Asia/Shanghai'", sa.Text())
        return compiler.process(sa.func.date_trunc(unit, column, zone), **kw)
    plain = sa.func.date_trunc(unit, sa.cast(column, sa.DateTime()))
    return compiler.process(sa.cast(plain, column.type), **kw)


@compiles(months_after)
def _months_after(element: months_after, compiler: SQLCompiler, **kw: Any) -> str:
    day, months = element.clauses
    return compiler.process(sa.cast(day + sa.func.make_interval(0, months), sa.Date), **kw)


@compiles(months_after_next_january)
def _months_after_next_january(element: months_after_next_january, compiler: SQLCompiler, **kw: Any) -> str:
    day, months = element.clauses
    start = sa.func.make_date(sa.cast(sa.extract("year", day), sa.Integer) + 1, 1, 1)
    later = sa.cast(start + sa.func.make_interval(0, months), sa.Date) - sa.literal(1, sa.Integer)
    return compiler.process(later, **kw)


def subquery_of(found: sa.Select[Any]) -> FromClause:
    """The same select as a table of its own, with all of its CTEs inside."""
    return found.add_cte(*_ctes_of(found), nest_here=True).subquery()


def _ctes_of(statement: Any) -> list[CTE]:
    """The CTEs that a statement stands on, each after those that it stands on itself."""
    seen: dict[int, Any] = {}
    found: list[CTE] = []

    def walk(element: Any) -> None:
        for child in element.get_children():
            if id(child) not in seen:
                seen[id(child)] = child
                walk(child)
                if isinstance(child, CTE):
                    found.append(child)

    walk(statement)
    # A recursive CTE restates the one that its own steps begin with.
    return [cte for cte in found if not any(other._restates is cte for other in found)]
