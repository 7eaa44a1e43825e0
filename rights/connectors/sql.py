"""Business systems that are SQL databases, through SQLAlchemy Core."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, NoSuchTableError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from portal.core.systems import UnknownSystem, system_url
from rights.connectors.base import (
    Anchor,
    Fact,
    FateCount,
    HeldGroup,
    Key,
    Links,
    Policy,
    Refused,
    Seed,
    SubjectFates,
    Unavailable,
)
from rights.connectors.sqlfates import (
    BLOCKED,
    FIXED,
    GO,
    HOLD,
    HOLD_OPEN,
    MASKED,
    OUTSIDE,
    PERSON,
    RESTRICT,
    Fates,
    mask_value,
)
from rights.connectors.sqlgraph import Graph
from rights.connectors.sqlreach import Reach
from rights.datamap import Condition, DataMap, Edge, System
from rights.kernel.clock import local_day
from rights.kernel.plan import Fate

ANSWER_SECONDS = 2
ACT_SECONDS = 60
FATES = {HOLD: Fate.HOLD, HOLD_OPEN: Fate.HOLD, **{number: fate for fate, number in FIXED.items()}}
_UNAVAILABLE = frozenset({"08", "53", "57"})
"""SQLSTATE classes of a server that is away, full or stopping; 40001 and 40P01 mean: try again."""


@dataclass(frozen=True)
class SqlConnector:
    """One SQL database. Reads in one repeatable-read snapshot, acts in one transaction a call."""

    system: str
    graph: Graph
    engine: Engine

    @contextmanager
    def snapshot(self, seed: Seed, *, patience: float = ANSWER_SECONDS) -> Iterator["SqlSnapshot"]:
        with _translated(self.system), self.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                _limit(connection, patience)
                yield SqlSnapshot(self.graph, connection, Reach(self.graph, seed))

    @contextmanager
    def _act(self) -> Iterator[Connection]:
        with _translated(self.system), self.engine.connect() as connection:
            # A pooled connection may come back from a read-only snapshot.
            connection = connection.execution_options(isolation_level="READ COMMITTED", postgresql_readonly=False)
            with connection.begin():
                _limit(connection, ACT_SECONDS)
                yield connection

    def erase_order(self) -> list[str]:
        return self.graph.erase_order

    def found_first(self) -> frozenset[str]:
        return self.graph.found_first

    def erase(self, seed: Seed, policies: Mapping[str, Policy], collection: str, keys: Sequence[Key]) -> int:
        reach = Reach(self.graph, seed)
        going = Fates(reach, policies).all()[collection]
        table = self.graph.tables[collection]
        columns = [table.c[name] for name in self.graph.key_columns(collection)]
        lets_go = sa.tuple_(*columns).in_(sa.select(*reach.keys_of(going, collection)).where(going.c.f == GO))
        where = sa.and_(reach.key_in(collection, keys), lets_go)
        mask = self.graph.collections[collection].mask
        with self._act() as connection:
            if mask and policies[collection].otherwise is Fate.MASK:
                values = {name: mask_value(table.c[name], stated) for name, stated in mask.items()}
                return connection.execute(sa.update(table).where(where).values(values)).rowcount
            return connection.execute(sa.delete(table).where(where)).rowcount

    def count_present(self, collection: str, keys: Sequence[Key]) -> int:
        table = self.graph.tables[collection]
        where = [Reach(self.graph, Seed({}, date.min)).key_in(collection, keys)]
        mask = self.graph.collections[collection].mask
        if mask:
            masked = [table.c[name].is_not_distinct_from(mask_value(table.c[name], how)) for name, how in mask.items()]
            where.append(~sa.and_(*masked))
        with self._act() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one()

    def correct(self, seed: Seed, collection: str, column: str, *, old: str, new: str) -> int:
        """Write `new` where the person's rows still have `old`; a value changed meanwhile is left alone."""
        reach = Reach(self.graph, seed)
        table = self.graph.tables[collection]
        same = sa.cast(table.c[column], sa.Text) == old
        with self._act() as connection:
            found = sa.update(table).where(reach.in_reach(collection), same).values({column: new})
            return connection.execute(found).rowcount

    def set_fields(
        self, seed: Seed, collection: str, *, match: Mapping[str, Any], values: Mapping[str, Any], now: datetime,
        only_empty: bool = False,
    ) -> int:  # fmt: skip
        """Set fields of the person's rows that match; `@today` and `@now` stand for the moment given."""
        reach = Reach(self.graph, seed)
        table = self.graph.tables[collection]
        moments = {"@today": local_day(now), "@now": now}
        written = {
            name: moments.get(value, value) if isinstance(value, str) else value for name, value in values.items()
        }
        where = [reach.in_reach(collection), *(table.c[name] == value for name, value in match.items())]
        if only_empty:
            where.append(sa.and_(*(table.c[name].is_(None) for name in written)))
        with self._act() as connection:
            return connection.execute(sa.update(table).where(*where).values(written)).rowcount

    def check(self) -> None:
        with self._act() as connection:
            connection.execute(sa.text("SELECT 1"))


@dataclass(frozen=True)
class SqlSnapshot:
    graph: Graph
    connection: Connection
    reach: Reach

    def read_facts(self, asked: Sequence[tuple[Condition, tuple[str, ...]]]) -> list[Fact]:
        found = []
        for condition, show in asked:
            reach = self.reach.reach(condition.collection)
            where = self.reach.where(reach, condition.collection, condition.when)
            count = self.connection.execute(sa.select(sa.func.count()).select_from(reach).where(*where)).scalar_one()
            shown: tuple[Mapping[str, str], ...] = ()
            if count and show:
                table = self.graph.tables[condition.collection]
                keys = sa.select(*self.reach.keys_of(reach, condition.collection)).where(*where)
                columns = [table.c[name] for name in self.graph.key_columns(condition.collection)]
                rows = self.connection.execute(
                    sa.select(*(table.c[name] for name in show)).where(sa.tuple_(*columns).in_(keys)).limit(5)
                )
                shown = tuple(
                    {name: "" if value is None else str(value) for name, value in zip(show, row, strict=True)}
                    for row in rows
                )
            found.append(Fact(condition, count, shown))
        return found

    def read_links(self, edges: Sequence[Edge]) -> dict[Edge, Links]:
        found = {}
        for edge in edges:
            rows = self.connection.execute(self.reach.links(edge)).all()
            width = len(edge.source_fields)
            found[edge] = Links(
                values=tuple(tuple(row[:width]) for row in rows), shared=tuple(bool(row[width]) for row in rows)
            )
        return found

    def read_anchors(self, policies: Mapping[str, Policy], edges: Sequence[Edge]) -> dict[Edge, tuple[Anchor, ...]]:
        fates = Fates(self.reach, policies)
        rows = fates.all()
        found = {}
        for edge in edges:
            width = len(edge.target_fields)
            staying = self.connection.execute(fates.anchors(edge, rows[edge.target]))
            found[edge] = tuple(
                Anchor(tuple(row[:width]), blocked=row.b, open_ended=row.o, until=row.u) for row in staying
            )
        return found

    def list_subjects(self, conditions: Sequence[Condition | None]) -> list[frozenset[str]]:
        found = []
        for condition in conditions:
            if condition is None:
                statement: Any = sa.select(sa.cast(self.reach.everyone().c.j, sa.Text))
            else:
                reach = self.reach.reach(condition.collection)
                where = self.reach.where(reach, condition.collection, condition.when)
                statement = sa.select(sa.cast(reach.c.j, sa.Text)).where(*where).distinct()
            found.append(frozenset(self.connection.execute(statement).scalars()))
        return found

    def count_fates(self, policies: Mapping[str, Policy]) -> list[FateCount]:
        statement = self.count_statement(policies)
        if statement is None:
            return []
        found: dict[tuple[str, Fate], FateCount] = {}
        names = self._counted(policies)
        for number, fate, count, first, last in self.connection.execute(statement):
            collection = names[number]
            value = policies[collection].otherwise if fate == GO else FATES[fate]
            before = found.get((collection, value), FateCount(collection, value, 0))
            found[(collection, value)] = FateCount(
                collection=collection,
                fate=value,
                count=before.count + count,
                open_ended=before.open_ended + (count if fate == HOLD_OPEN else 0),
                first=first if fate == HOLD else before.first,
                last=last if fate == HOLD else before.last,
            )
        return list(found.values())

    def _counted(self, policies: Mapping[str, Policy]) -> list[str]:
        """What is counted. Secret rows are not, so that no answer takes longer where there are some."""
        return [key for key, item in self.graph.collections.items() if key in policies and not item.confidential]

    def count_statement(self, policies: Mapping[str, Policy]) -> Any:
        """Counts, first and last day by collection and fate, in one statement; None where there is nothing to count."""
        fates = Fates(self.reach, policies)
        found = fates.all()
        parts = []
        for number, collection in enumerate(self._counted(policies)):
            totals = fates.totals(collection, found[collection])
            parts.append(
                sa.select(
                    sa.literal(number, sa.Integer).label("n"),
                    totals.c.f,
                    sa.cast(sa.func.sum(totals.c.k), sa.BigInteger),
                    sa.func.min(totals.c.a),
                    sa.func.max(totals.c.z),
                )
                .where(totals.c.f.not_in([OUTSIDE, MASKED]))
                .group_by(totals.c.f)
            )
        return sa.union_all(*parts) if parts else None

    def explain(self, policies: Mapping[str, Policy]) -> str:
        statement = self.count_statement(policies)
        if statement is None:
            return "-- nothing is counted"
        # Values stay out of it: an identity has no place in a terminal's history.
        return str(statement.compile(dialect=self.connection.dialect, compile_kwargs={"render_postcompile": True}))

    def survey_fates(
        self, policies: Mapping[str, Policy], words: Mapping[str, SubjectFates], *, subjects: Sequence[str] | None
    ) -> Iterator[tuple[str, str]]:
        seed = self.reach.seed
        if subjects is not None and seed.everybody:
            seed = replace(seed, everybody=replace(seed.everybody, values=tuple(subjects)))
        statement = survey_statement(Reach(self.graph, seed), policies, words)
        # Hundreds of thousands of lines are sorted; the server's default would sort them on disk.
        self.connection.execute(sa.text("SET LOCAL work_mem = '64MB'"))
        with self.connection.execute(statement, execution_options={"yield_per": 5000}) as rows:
            for row in rows:
                yield row[0], row[1]

    def group_holds(self, policies: Mapping[str, Policy], collection: str) -> list[HeldGroup]:
        rows = Fates(self.reach, policies).all()[collection]
        statement = (
            sa.select(rows.c.t, rows.c.u, sa.func.count())
            .where(rows.c.f.in_([HOLD, HOLD_OPEN, RESTRICT]))
            .group_by(rows.c.t, rows.c.u)
            .order_by(rows.c.u, rows.c.t)
        )
        return [HeldGroup(trigger, last, count) for trigger, last, count in self.connection.execute(statement)]

    def find_keys(self, policies: Mapping[str, Policy], collection: str, *, limit: int | None) -> list[Key]:
        rows = Fates(self.reach, policies).all()[collection]
        keys = self.reach.keys_of(rows, collection)
        chosen = sa.select(*keys).where(rows.c.f == GO).order_by(*keys).limit(limit)
        # Of a table that refers to itself the leaves go first; where it goes round there are none, and all go at once.
        leaves = [~self._is_referred_to(rows, collection, key.pairs) for key in self.graph.keys_to_itself(collection)]
        found = self.connection.execute(chosen.where(*leaves)).all() if leaves else []
        return [tuple(row) for row in found or self.connection.execute(chosen)]

    def _is_referred_to(self, rows: Any, collection: str, pairs: Sequence[tuple[str, str]]) -> Any:
        child = self.graph.tables[collection].alias("child")
        links = [child.c[ours] == self.reach.column(rows, collection, theirs) for ours, theirs in pairs]
        keys = self.graph.key_columns(collection)
        itself = sa.and_(*(child.c[name] == self.reach.column(rows, collection, name) for name in keys))
        return sa.exists(sa.select(sa.literal(1)).select_from(child).where(*links, ~itself))

    def read_values(self, collection: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        table = self.graph.tables[collection]
        chosen = [table.c[name] for name in columns]
        rows = self.connection.execute(sa.select(*chosen).where(self.reach.in_reach(collection)).limit(200))
        return [tuple(row) for row in rows]

    def stream_rows(self, collection: str, *, redact: Sequence[str]) -> Iterator[Sequence[Any]]:
        table = self.graph.tables[collection]
        described = {field.name for field in self.graph.collections[collection].fields}
        columns = [column for column in table.columns if column.name in described - set(redact)]
        yield [column.name for column in columns]
        keys = [table.c[name] for name in self.graph.key_columns(collection)]
        # An export may take long; the limit is on the first answer, not on reading.
        _limit(self.connection, ACT_SECONDS)
        statement = sa.select(*columns).where(self.reach.in_reach(collection)).order_by(*keys)
        with self.connection.execute(statement, execution_options={"yield_per": 1000}) as rows:
            yield from rows


def survey_statement(reach: Reach, policies: Mapping[str, Policy], words: Mapping[str, SubjectFates]) -> Any:
    """(subject, text) for every subject: the counts of each collection as members of one JSON object.

    The database writes the text: fetching each number and writing it here costs a multiple of counting them.
    """
    fates = Fates(reach, policies)
    found = fates.all()
    everyone = reach.everyone()
    source: Any = everyone
    texts = []
    for number, (collection, said) in enumerate(words.items()):
        totals = fates.totals(collection, found[collection])

        def counted(*numbers: int, totals: Any = totals) -> Any:
            return sa.func.sum(totals.c.k).filter(totals.c.f.in_(numbers))

        summary = (
            sa.select(
                totals.c.j,
                counted(GO).label("g"),
                counted(HOLD, HOLD_OPEN).label("h"),
                counted(BLOCKED).label("b"),
                counted(PERSON).label("p"),
                sa.func.min(totals.c.a).label("a"),
                sa.func.max(totals.c.z).label("z"),
            )
            .group_by(totals.c.j)
            .subquery(f"s{number}")
        )
        source = source.outerjoin(summary, summary.c.j == everyone.c.j)
        texts.append(_survey_text(said, summary, masks=policies[collection].otherwise is Fate.MASK))
    together = sa.func.concat_ws(", ", *texts)
    order: list[Any] = [everyone.c.j]
    if isinstance(everyone.c.j.type, sa.Text):
        is_number = everyone.c.j.regexp_match("^[0-9]+$")
        order = [sa.case((is_number, sa.func.length(everyone.c.j)), else_=0), everyone.c.j.collate("C")]
    return sa.select(sa.cast(everyone.c.j, sa.Text), together).select_from(source).order_by(*order)


def _survey_text(said: SubjectFates, summary: Any, *, masks: bool) -> Any:
    """One member, `"collection": {…}`, as `format` writes it; the keys and rules are known words, no values."""

    def number(column: Any) -> Any:
        return sa.func.coalesce(column, 0)

    def quoted(column: Any) -> Any:
        return sa.func.coalesce('"' + sa.cast(column, sa.Text) + '"', "null")

    zero = sa.literal(0)
    goes = number(summary.c.g)
    key = sa.case(
        (number(summary.c.b) > 0, said.blocked),
        (number(summary.c.p) > 0, said.person),
        (sa.and_(number(summary.c.h) > 0, summary.c.z.is_(None)), said.open_ended),
        (number(summary.c.h) > 0, said.held),
        (goes > 0, said.gone),
        else_="null",
    )
    form = (
        said.name.replace("%", "%%")
        + ': {"erase": %s, "mask": %s, "hold": %s, "blocked": %s, "person": %s, '
        + '"first_release": %s, "last_release": %s, "rule": %s, "key": %s}'
    )
    return sa.func.format(
        form,
        zero if masks else goes,
        goes if masks else zero,
        number(summary.c.h),
        number(summary.c.b),
        number(summary.c.p),
        quoted(summary.c.a),
        quoted(summary.c.z),
        sa.case((number(summary.c.h) > 0, said.rule), else_="null"),
        key,
    )


@lru_cache(maxsize=64)
def _engine(url: str) -> Engine:
    address = sa.make_url(url)
    if address.drivername in {"postgresql", "postgres"}:
        address = address.set(drivername="postgresql+psycopg")
    return sa.create_engine(
        address,
        pool_size=4,
        max_overflow=4,
        pool_timeout=ANSWER_SECONDS,
        pool_pre_ping=True,
        connect_args={"connect_timeout": ANSWER_SECONDS, "application_name": "privacy-portal"},
    )


@lru_cache(maxsize=64)
def _graph(system: str, digest: str, url: str, data_map: "_Unhashed") -> Graph:
    stated: System = data_map.value.systems[system]
    names = [item.name for item in data_map.value.of_system(system)]
    metadata = sa.MetaData()
    with _translated(system):
        try:
            metadata.reflect(_engine(url), schema=stated.schema, only=names, views=True, resolve_fks=False)
        except sa.exc.InvalidRequestError as error:
            raise Refused(f"The system {system} has no such table in schema {stated.schema}: {error}") from None
    tables = {item.key: metadata.tables[f"{stated.schema}.{item.name}"] for item in data_map.value.of_system(system)}
    for column in (column for table in tables.values() for column in table.columns):
        while isinstance(column.type, DOMAIN):
            column.type = column.type.data_type  # compared and parsed as what it stands on
    graph = Graph(system=system, data_map=data_map.value, tables=tables)
    wrong = []
    for item in data_map.value.of_system(system):
        if missing := sorted({field.name for field in item.fields} - set(tables[item.key].columns.keys())):
            wrong.append(f"{item.key} has no column {', '.join(missing)} in the live database.")
        elif not graph.key_columns(item.key):
            wrong.append(f"{item.key} has no key: mark the fields that name a record as its primary_key.")
    if wrong:
        raise Refused(" ".join(wrong))
    return graph


class _Unhashed:
    """Carries a map past the cache's key: its digest stands for it."""

    def __init__(self, value: DataMap) -> None:
        self.value = value

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unhashed)


def open_system(system: str, data_map: DataMap) -> SqlConnector:
    """The connector of a stated system. Raises Unavailable where it cannot be reached, Refused where it differs."""
    try:
        url = system_url(system)
    except UnknownSystem as error:
        # Whoever reads many systems goes on without this one; its address may be set tomorrow.
        raise Unavailable(str(error)) from None
    graph = _graph(system, data_map.digest, url, _Unhashed(data_map))
    return SqlConnector(system=system, graph=graph, engine=_engine(url))


def _limit(connection: Connection, seconds: float) -> None:
    # A policy on their tables must be an error here, not a false absence.
    connection.execute(sa.text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))
    connection.execute(sa.text("SET LOCAL row_security = off"))


@contextmanager
def _translated(system: str) -> Iterator[None]:
    """A driver's errors as ours, without the values that its messages quote."""
    try:
        yield
    except PoolTimeout:
        raise Unavailable(f"The system {system} is busy.") from None
    except NoSuchTableError as error:
        raise Refused(f"The system {system} has no table {error}.") from None
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        if constraint:
            raise Refused(f"The system {system} refuses: constraint {constraint}.") from None
        if isinstance(error, OperationalError) and (
            not state or state[:2] in _UNAVAILABLE or state in {"40001", "40P01"}
        ):
            raise Unavailable(f"The system {system} cannot be reached ({state or 'no connection'}).") from None
        if state in {"40001", "40P01", "57014"}:
            raise Unavailable(f"The system {system} did not answer in time ({state}).") from None
        raise Refused(f"The system {system} refuses (SQLSTATE {state or 'unknown'}).") from None
    except SQLAlchemyError as error:
        raise Refused(f"The system {system} cannot be asked: {type(error).__name__}.") from None
