"""Business systems that are SQL databases, through SQLAlchemy Core."""

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache, partial
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult, Engine
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql import Executable

from portal.core.systems import UnknownSystem, system_url
from rights.connectors import sqlcopy
from rights.connectors.base import (
    Anchor,
    Column,
    CountWriter,
    Fact,
    FateCount,
    Form,
    HeldGroup,
    Key,
    Links,
    Numbers,
    Policy,
    Refused,
    Seed,
    Subject,
    Unavailable,
)
from rights.connectors.sqlcatalog import LOOK_SECONDS
from rights.connectors.sqldialect import Changing, Dialect
from rights.connectors.sqlfates import (
    FIXED,
    GO,
    HOLD,
    HOLD_OPEN,
    MASKED,
    OUTSIDE,
    RESTRICT,
    RESTRICTED,
    Fates,
)
from rights.connectors.sqlgraph import Graph
from rights.connectors.sqlmasks import is_masked, mask_values, masked
from rights.connectors.sqlprepare import run
from rights.connectors.sqlreach import BIND, Reach
from rights.connectors.sqlservers import find_dialect
from rights.datamap import Condition, DataMap, Edge, System
from rights.kernel.clock import SHANGHAI, local_day
from rights.kernel.plan import Fate

ANSWER_SECONDS = 2
ACT_SECONDS = 60
KEYS_AT_ONCE = 20_000
COPY_SECONDS = 3600
"""A person's table is read as fast as it is compressed and written, so this bounds a server that hangs."""
SHOWN = 5
"""How many rows that stand in the way a person is shown."""
SURVEYED = 5_000
"""How many lines of a survey are fetched at once."""
TEXTS = 20_000
"""How many texts of equal counts a survey keeps."""
FATES = {HOLD: Fate.HOLD, HOLD_OPEN: Fate.HOLD, **{number: fate for fate, number in FIXED.items()}}


@dataclass(frozen=True)
class SqlConnector:
    """One SQL database. Reads in one repeatable-read snapshot, acts in one transaction a call."""

    system: str
    graph: Graph
    engine: Engine

    @contextmanager
    def snapshot(self, seed: Seed, *, patience: float = ANSWER_SECONDS) -> Iterator["SqlSnapshot"]:
        with (
            _translated(self.system, self.dialect),
            self.engine.connect() as connection,
            self.dialect.read(connection, seconds=patience) as reading,
        ):
            yield SqlSnapshot(self.graph, reading, Reach(self.graph, seed))

    @contextmanager
    def _act(self) -> Iterator[Connection]:
        with (
            _translated(self.system, self.dialect),
            self.engine.connect() as connection,
            self.dialect.act(connection, seconds=ACT_SECONDS) as acting,
        ):
            yield acting

    @property
    def dialect(self) -> Dialect:
        return self.graph.dialect

    def find_obstacles(self, collection: str) -> list[str]:
        with self._act() as connection:
            found = self.dialect.find_obstacles(connection, self.graph.tables[collection])
        # A statement that was prepared while a rule did nothing instead goes on doing nothing after the rule has gone.
        self.engine.dispose()
        return found

    def erase_order(self) -> list[str]:
        return self.graph.erase_order

    def found_first(self) -> frozenset[str]:
        return self.graph.found_first

    def erase(self, seed: Seed, policies: Mapping[str, Policy], collection: str, keys: Sequence[Key]) -> int:
        # Of a large table only the batch is judged again, where that needs no other row of it.
        reach = Reach(self.graph, seed, only=collection if self.graph.is_leaf(collection) else None)

        def statement() -> sa.Update | sa.Delete:
            masks = bool(self.graph.collections[collection].mask) and policies[collection].otherwise is Fate.MASK
            return _change_judged(self._erasing(collection, masks=masks), reach, policies, collection, fates=(GO,))

        with self._act() as connection:
            values = reach.bound_keys(collection, keys) | self._mask_values(collection)
            key = ("erase", collection)
            return run(connection, reach, statement, *key, policies=policies.values(), values=values).rowcount

    def flag(self, seed: Seed, policies: Mapping[str, Policy], collection: str, keys: Sequence[Key]) -> int:
        reach = Reach(self.graph, seed, only=collection if self.graph.is_leaf(collection) else None)

        def statement() -> sa.Update:
            return _change_judged(self._flagging(collection), reach, policies, collection, fates=RESTRICTED)

        with self._act() as connection:
            values = reach.bound_keys(collection, keys)
            key = ("flag", collection)
            return run(connection, reach, statement, *key, policies=policies.values(), values=values).rowcount

    def flag_again(self, collection: str, keys: Sequence[Key]) -> int:
        reach = self._nobody()

        def statement() -> sa.Update:
            flagging = reach.change_chosen(self._flagging(collection), collection)
            return flagging.where(~_is_flagged(self.graph, collection))

        with self._act() as connection:
            values = reach.bound_keys(collection, keys)
            return run(connection, reach, statement, "flag again", collection, values=values).rowcount

    def _flagging(self, collection: str) -> sa.Update:
        return sa.update(self.graph.tables[collection]).values(dict(self.graph.collections[collection].flag))

    def find_present(self, collection: str, keys: Sequence[Key]) -> list[Key]:
        reach = self._nobody()

        def statement() -> sa.Select[Any]:
            return self._unmasked_keys(collection).where(reach.key_in(collection))

        with self._act() as connection:
            values = reach.bound_keys(collection, keys)
            return [tuple(row) for row in run(connection, reach, statement, "present", collection, values=values)]

    def stream_keys(self, collection: str) -> Iterator[list[Key]]:
        with self._act() as connection:
            self.dialect.let_stream(connection, seconds=COPY_SECONDS)
            found = connection.execute(self._unmasked_keys(collection), execution_options={"yield_per": KEYS_AT_ONCE})
            for page in found.partitions():
                yield [tuple(row) for row in page]

    def erase_again(self, collection: str, keys: Sequence[Key]) -> int:
        reach = self._nobody()

        def statement() -> sa.Update | sa.Delete:
            erasing = self._erasing(collection, masks=bool(self.graph.collections[collection].mask))
            return reach.change_chosen(erasing, collection)

        with self._act() as connection:
            values = reach.bound_keys(collection, keys) | self._mask_values(collection)
            return run(connection, reach, statement, "erase again", collection, values=values).rowcount

    def _nobody(self) -> Reach:
        """For rows that are named by their keys alone."""
        return Reach(self.graph, Seed({}, date.min))

    def _unmasked_keys(self, collection: str) -> sa.Select[Any]:
        table = self.graph.tables[collection]
        keys = sa.select(*(table.c[name] for name in self.graph.key_columns(collection)))
        mask = self.graph.collections[collection].mask
        done = [is_masked(table.c[name], how) for name, how in mask.items()]
        return keys.where(~sa.and_(*done)) if done else keys

    def _mask_values(self, collection: str) -> dict[str, bytes]:
        return mask_values(self.graph.collections[collection].mask.values())

    def _erasing(self, collection: str, *, masks: bool) -> sa.Update | sa.Delete:
        table = self.graph.tables[collection]
        if not masks:
            return sa.delete(table)
        mask = self.graph.collections[collection].mask
        return sa.update(table).values({name: masked(table.c[name], how) for name, how in mask.items()})

    def count_rows(self, seed: Seed, collection: str, values: Mapping[str, str | None]) -> int:
        reach = Reach(self.graph, seed)
        table = self.graph.tables[collection]
        asked = {name: f"{BIND}is_{i}" for i, (name, value) in enumerate(values.items()) if value is not None}
        empty = tuple(name for name in values if name not in asked)

        def statement() -> sa.Select[Any]:
            same = (
                self.dialect.same(sa.cast(table.c[name], sa.Text), sa.bindparam(bind, type_=sa.Text()))
                for name, bind in asked.items()
            )
            none = (table.c[name].is_(None) for name in empty)
            return sa.select(sa.func.count()).select_from(table).where(reach.in_reach(collection), *same, *none)

        with self._act() as connection:
            bound = {bind: values[name] for name, bind in asked.items()}
            found = run(connection, reach, statement, "count rows", collection, tuple(asked), empty, values=bound)
            return int(found.scalar_one())

    def correct(self, seed: Seed, collection: str, column: str, *, old: str, new: str) -> int:
        """Write `new` where the person's rows still have `old`; a value changed meanwhile is left alone."""
        reach = Reach(self.graph, seed)
        table = self.graph.tables[collection]

        def statement() -> sa.Update:
            same = self.dialect.same(sa.cast(table.c[column], sa.Text), sa.bindparam(f"{BIND}old"))
            written = {column: sa.bindparam(f"{BIND}new", type_=table.c[column].type)}
            return self._of_person(sa.update(table), reach, collection).where(same).values(written)

        with self._act() as connection:
            values = {f"{BIND}old": old, f"{BIND}new": new}
            return run(connection, reach, statement, "correct", collection, column, values=values).rowcount

    def set_fields(
        self, seed: Seed, collection: str, *, match: Mapping[str, Any], values: Mapping[str, Any], now: datetime,
        only_empty: bool = False,
    ) -> int:  # fmt: skip
        """Set fields of the person's rows that match; `@today` and `@now` stand for the moment given."""
        reach = Reach(self.graph, seed)
        table = self.graph.tables[collection]
        moments = {"@today": f"{BIND}today", "@now": f"{BIND}now"}

        def written(name: str, value: Any) -> Any:
            moment = moments.get(value) if isinstance(value, str) else None
            return sa.bindparam(moment, type_=table.c[name].type) if moment else value

        def statement() -> sa.Update:
            where = [table.c[name] == value for name, value in match.items()]
            if only_empty:
                where.append(sa.and_(*(table.c[name].is_(None) for name in values)))
            setting = self._of_person(sa.update(table), reach, collection).where(*where)
            return setting.values({name: written(name, value) for name, value in values.items()})

        key = ("set", collection, tuple(match.items()), tuple(values.items()), only_empty)
        local = {f"{BIND}today": local_day(now), f"{BIND}now": now.astimezone(SHANGHAI)}
        with self._act() as connection:
            return run(connection, reach, statement, *key, values=local).rowcount

    def _of_person(self, statement: sa.Update, reach: Reach, collection: str) -> sa.Update:
        return self.dialect.change_found(statement, reach.table_keys(collection), reach.found(collection))

    def check(self) -> None:
        with self._act() as connection:
            connection.execute(sa.text("SELECT 1"))


@dataclass(frozen=True)
class SqlSnapshot:
    graph: Graph
    connection: Connection
    reach: Reach

    @property
    def dialect(self) -> Dialect:
        return self.graph.dialect

    def read_facts(self, asked: Sequence[tuple[Condition, tuple[str, ...]]]) -> list[Fact]:
        found = []
        for condition, show in asked:
            count = self._run(partial(self._count_meeting, condition), "count", condition).scalar_one()
            shown: tuple[Mapping[str, str], ...] = ()
            if count and show:
                rows = self._run(partial(self._show_meeting, condition, show), "show", condition, tuple(show))
                shown = tuple(
                    {name: "" if value is None else str(value) for name, value in zip(show, row, strict=True)}
                    for row in rows
                )
            found.append(Fact(condition, count, shown))
        return found

    def _count_meeting(self, condition: Condition) -> sa.Select[Any]:
        reach = self.reach.reach(condition.collection)
        where = self.reach.where(reach, condition.collection, condition.when)
        return sa.select(sa.func.count()).select_from(reach).where(*where)

    def _show_meeting(self, condition: Condition, show: Sequence[str]) -> sa.Select[Any]:
        reach = self.reach.reach(condition.collection)
        where = self.reach.where(reach, condition.collection, condition.when)
        table = self.graph.tables[condition.collection]
        keys = sa.select(*self.reach.keys_of(reach, condition.collection)).where(*where)
        columns = [table.c[name] for name in self.graph.key_columns(condition.collection)]
        return sa.select(*(table.c[name] for name in show)).where(sa.tuple_(*columns).in_(keys)).limit(SHOWN)

    def _run(
        self, build: Callable[[], Executable], *key: Hashable, policies: Iterable[Policy] = (), **options: Any
    ) -> CursorResult[*tuple[Any, ...]]:
        if "yield_per" in options:
            self.dialect.let_stream(self.connection, seconds=COPY_SECONDS)
        return run(self.connection, self.reach, build, *key, policies=policies, options=options)

    def read_links(self, edges: Sequence[Edge]) -> dict[Edge, Links]:
        found = {}
        for edge in edges:
            rows = self._run(partial(self.reach.links, edge), "links", edge).all()
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
            staying = self._run(
                partial(fates.anchors, edge, rows[edge.target]), "anchors", edge, policies=policies.values()
            )
            found[edge] = tuple(
                Anchor(tuple(row[:width]), blocked=row.b, open_ended=row.o, until=row.u) for row in staying
            )
        return found

    def list_subjects(self, conditions: Sequence[Condition | None]) -> list[frozenset[Subject]]:
        return [
            frozenset([row[0] for row in self._run(partial(self._subjects, condition), "subjects", condition).all()])
            for condition in conditions
        ]

    def _subjects(self, condition: Condition | None) -> sa.Select[Any]:
        if condition is None:
            return sa.select(self.reach.everyone().c.j)
        reach = self.reach.reach(condition.collection)
        where = self.reach.where(reach, condition.collection, condition.when)
        return sa.select(reach.c.j).where(*where).distinct()

    def count_fates(self, policies: Mapping[str, Policy]) -> list[FateCount]:
        names = self._counted(policies)
        if not names:
            return []
        counts: dict[int, list[tuple[Any, ...]]] = {}
        for row in self._run(partial(self._count_statement, policies), "fates", policies=policies.values()):
            counts.setdefault(row[0], []).append(tuple(row[1:]))
        return [
            total
            for number, found in counts.items()
            for total in _sum_fates(names[number], found, otherwise=policies[names[number]].otherwise)
        ]

    def _counted(self, policies: Mapping[str, Policy]) -> list[str]:
        """What is counted. Secret rows are not, so that no answer takes longer where there are some."""
        return [key for key, item in self.graph.collections.items() if key in policies and not item.confidential]

    def _count_statement(self, policies: Mapping[str, Policy]) -> Any:
        """(collection's number, [subject,] fate, count, first, last day held), in one statement, by subject."""
        reach = self.reach
        fates = Fates(reach, policies)
        found = fates.all()
        parts = []
        for number, collection in enumerate(self._counted(policies)):
            totals = fates.totals(collection, found[collection])
            key = sa.literal(number, sa.Integer).label("n"), *reach.subject(totals), totals.c.f
            if fates.is_linked(collection):
                count = sa.cast(sa.func.sum(totals.c.k), sa.BigInteger).label("k")
                days = sa.func.min(totals.c.a).label("a"), sa.func.max(totals.c.z).label("z")
                part = sa.select(*key, count, *days).group_by(*reach.subject(totals), totals.c.f)
            else:
                part = sa.select(*key, totals.c.k, totals.c.a, totals.c.z)
            parts.append(part.where(totals.c.f.not_in([OUTSIDE, MASKED])) if fates.may_be_left(collection) else part)
        if not reach.many:
            return sa.union_all(*parts)
        together = sa.union_all(*parts).subquery("counts")
        return sa.select(together).order_by(*self._order(together.c.j))

    def _order(self, subject: sa.ColumnElement[Any]) -> list[sa.ColumnElement[Any]]:
        """Numbers by their size, text by its letters and digits written as text as numbers."""
        if not isinstance(subject.type, sa.String):
            return [subject]
        is_number = subject.regexp_match("^[0-9]+$")
        return [sa.case((is_number, sa.func.length(subject)), else_=0), self.dialect.by_bytes(subject)]

    def explain(self, policies: Mapping[str, Policy]) -> str:
        if not self._counted(policies):
            return "-- nothing is counted"
        statement = self._count_statement(policies)
        # Values stay out of it: an identity has no place in a terminal's history.
        return str(statement.compile(dialect=self.connection.dialect, compile_kwargs={"render_postcompile": True}))

    def survey_fates(
        self, policies: Mapping[str, Policy], writers: Mapping[str, CountWriter], *, subjects: Sequence[Subject] | None
    ) -> Iterator[tuple[Subject, str]]:
        seed = self.reach.seed
        if subjects is not None and seed.everybody:
            seed = replace(seed, everybody=replace(seed.everybody, values=tuple(subjects)))
        snapshot = replace(self, reach=Reach(self.graph, seed))
        self.dialect.prepare_survey(self.connection)
        counted = self._counted(policies)
        place = {counted.index(key): i for i, key in enumerate(writers) if key in counted}
        nothing = [writer(()) for writer in writers.values()]

        @lru_cache(maxsize=TEXTS)
        def text(number: int, *counts: tuple[Any, ...]) -> str:
            key = counted[number]
            return writers[key](_sum_fates(key, counts, otherwise=policies[key].otherwise))

        build = partial(snapshot._count_statement, policies)
        # Each group of subjects has a statement of its own, and they are read in turns.
        streaming = {"yield_per": SURVEYED} if self.dialect.parallel_streams else {}
        with snapshot._run(build, "fates", policies=policies.values(), **streaming) as result:
            rows = chain.from_iterable(result.partitions(SURVEYED))
            for subject, group in groupby(rows, key=itemgetter(1)):
                texts = nothing.copy()
                counts: dict[int, list[tuple[Any, ...]]] = {}
                for row in group:
                    counts.setdefault(row[0], []).append(row[2:])
                for number, found in counts.items():
                    if number in place:
                        texts[place[number]] = text(number, *found)
                yield subject, ", ".join(texts)

    def group_holds(self, policies: Mapping[str, Policy], collection: str) -> list[HeldGroup]:
        def statement() -> sa.Select[Any]:
            rows = Fates(self.reach, policies).all()[collection]
            return (
                sa.select(rows.c.t, rows.c.u, sa.func.count())
                .where(rows.c.f.in_([HOLD, HOLD_OPEN, RESTRICT]))
                .group_by(rows.c.t, rows.c.u)
                .order_by(rows.c.u, rows.c.t)
            )

        groups = self._run(statement, "holds", collection, policies=policies.values())
        return [HeldGroup(trigger, last, count) for trigger, last, count in groups]

    def find_keys(self, policies: Mapping[str, Policy], collection: str, *, limit: int | None = None) -> list[Key]:
        return list(chain.from_iterable(self._looks(policies, collection, limit=limit)))

    def page_keys(self, policies: Mapping[str, Policy], collection: str) -> Generator[Sequence[Key], None, None]:
        return self._looks(policies, collection, limit=None, yield_per=KEYS_AT_ONCE)

    def _looks(
        self, policies: Mapping[str, Policy], collection: str, *, limit: int | None, **options: Any
    ) -> Generator[Sequence[Key], None, None]:
        """Of a table that refers to itself the leaves go first; where it goes round there are none, and all go."""

        def statement(*, leaves_only: bool) -> sa.Select[Any]:
            rows = Fates(self.reach, policies).all()[collection]
            keys = self.reach.keys_of(rows, collection)
            leaves = (~self._is_referred_to(rows, collection, key.pairs) for key in circular if leaves_only)
            chosen = sa.select(*keys).where(rows.c.f == GO, *leaves)
            # Those that come in pages come as they lie there: nobody waits for a sort, and they go page by page.
            return chosen if options else chosen.order_by(*keys).limit(limit)

        circular = self.graph.keys_to_itself(collection)
        numbered = self.graph.has_numbered_key(collection)
        for leaves_only in [True, False] if circular else [False]:
            found = False
            with self._run(
                partial(statement, leaves_only=leaves_only),
                *("keys", collection, limit, leaves_only, *options),
                policies=policies.values(),
                **options,
            ) as result:
                for page in _pages_of_numbers(result) if numbered else result.partitions(KEYS_AT_ONCE):
                    found = True
                    yield page
            if found:
                return

    def stream_restricted(self, policies: Mapping[str, Policy], collection: str) -> Generator[list[Key], None, None]:
        def statement() -> sa.Select[Any]:
            rows = Fates(self.reach, policies).all()[collection]
            return sa.select(*self.reach.keys_of(rows, collection)).where(rows.c.f.in_(RESTRICTED))

        rows = self._run(statement, "restricted", collection, policies=policies.values(), yield_per=KEYS_AT_ONCE)
        with rows as found:
            for page in found.partitions():
                yield [tuple(row) for row in page]

    def find_unflagged(self, policies: Mapping[str, Policy], collection: str, *, limit: int) -> list[Key]:
        def statement() -> sa.Select[Any]:
            table = self.graph.tables[collection]
            keys = [table.c[name] for name in self.graph.key_columns(collection)]
            stays = sa.tuple_(*keys).in_(_judged(self.reach, policies, collection, fates=RESTRICTED))
            return sa.select(*keys).where(stays, ~_is_flagged(self.graph, collection)).order_by(*keys).limit(limit)

        found = self._run(statement, "unflagged", collection, limit, policies=policies.values())
        return [tuple(row) for row in found]

    def _is_referred_to(self, rows: Any, collection: str, pairs: Sequence[tuple[str, str]]) -> Any:
        child = self.graph.tables[collection].alias("child")
        links = [child.c[ours] == self.reach.column(rows, collection, theirs) for ours, theirs in pairs]
        keys = self.graph.key_columns(collection)
        itself = sa.and_(*(child.c[name] == self.reach.column(rows, collection, name) for name in keys))
        return sa.exists(sa.select(sa.literal(1)).select_from(child).where(*links, ~itself))

    def read_values(self, collection: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        def statement() -> sa.Select[Any]:
            table = self.graph.tables[collection]
            return sa.select(*(table.c[name] for name in columns)).where(self.reach.in_reach(collection)).limit(200)

        return [tuple(row) for row in self._run(statement, "values", collection, tuple(columns))]

    def list_columns(self, collection: str, *, redact: Sequence[str]) -> tuple[Column, ...]:
        return tuple(Column(column.name, sqlcopy.kind_of(column.type)) for column in self._shown(collection, redact))

    def _shown(self, collection: str, redact: Sequence[str]) -> list[sa.Column[Any]]:
        described = {field.name for field in self.graph.collections[collection].fields}
        return [item for item in self.graph.tables[collection].columns if item.name in described - set(redact)]

    def copy_rows(self, collection: str, *, redact: Sequence[str], form: Form, write: Callable[[bytes], object]) -> int:
        def statement() -> sa.Select[Any]:
            table = self.graph.tables[collection]
            keys = [table.c[name] for name in self.graph.key_columns(collection)]
            rows = sa.select(*self.dialect.shown(shown, form)).where(self.reach.in_reach(collection)).order_by(*keys)
            return self.dialect.lines(rows, form)

        shown = self._shown(collection, redact)
        rows = partial(self._run, statement, "rows", collection, tuple(redact), form)
        return self.dialect.copy(self.connection, rows, shown, form=form, write=write, seconds=COPY_SECONDS)


def _pages_of_numbers(result: CursorResult[*tuple[Any, ...]]) -> Iterator[Numbers]:
    """As the driver has them: to wrap each of a million rows costs as much as to find it."""
    while rows := result.cursor_strategy.fetchmany(result, result.cursor, KEYS_AT_ONCE):
        yield Numbers([row[0] for row in rows])


def _judged(reach: Reach, policies: Mapping[str, Policy], collection: str, *, fates: Sequence[int]) -> sa.Select[Any]:
    """The keys of the person's rows of which one of these becomes by the policies."""
    rows = Fates(reach, policies).all()[collection]
    return sa.select(*reach.keys_of(rows, collection)).where(rows.c.f.in_(fates))


def _change_judged(
    changing: Changing, reach: Reach, policies: Mapping[str, Policy], collection: str, *, fates: Sequence[int]
) -> Changing:
    """The statement for those of the chosen rows of which one of these becomes."""
    changing = reach.change_chosen(changing, collection)
    if reach.graph.is_judged_alone(collection) and reach.dialect.changes_by_walk:
        fate = Fates(reach, policies).in_place(collection)
        return changing.where(reach.is_found(collection), fate.in_(fates))
    judged = _judged(reach, policies, collection, fates=fates)
    return reach.dialect.change_found(changing, reach.table_keys(collection), judged)


def _is_flagged(graph: Graph, collection: str) -> sa.ColumnElement[bool]:
    table = graph.tables[collection]
    flag = graph.collections[collection].flag
    return sa.and_(
        *(table.c[name].is_not_distinct_from(sa.literal(value, table.c[name].type)) for name, value in flag.items())
    )


def _sum_fates(collection: str, counts: Iterable[Sequence[Any]], *, otherwise: Fate) -> list[FateCount]:
    """(fate as a number, count, first, last) as counts by fate: a hold to a day and an open one are one fate."""
    found: dict[Fate, FateCount] = {}
    for fate, count, first, last in counts:
        value = otherwise if fate == GO else FATES[fate]
        before = found.get(value)
        is_open = fate == HOLD_OPEN
        found[value] = FateCount(
            collection=collection,
            fate=value,
            count=count + (before.count if before else 0),
            open_ended=(count if is_open else 0) + (before.open_ended if before else 0),
            first=before.first if before and is_open else first,
            last=before.last if before and is_open else last,
        )
    return list(found.values())


@lru_cache(maxsize=64)
def _engine(url: str) -> Engine:
    address = sa.make_url(url)
    return find_dialect(address).open_engine(
        address,
        connect_seconds=ANSWER_SECONDS,
        pool_size=4,
        max_overflow=4,
        pool_timeout=ANSWER_SECONDS,
        pool_pre_ping=True,
    )


@lru_cache(maxsize=64)
def _graph(system: str, digest: str, url: str, data_map: "_Unhashed") -> Graph:
    stated: System = data_map.value.systems[system]
    names = [item.name for item in data_map.value.of_system(system)]
    metadata = sa.MetaData()
    dialect = find_dialect(sa.make_url(url))
    with _translated(system, dialect), _engine(url).connect() as connection:
        dialect.limit(connection, seconds=LOOK_SECONDS)
        try:
            metadata.reflect(connection, schema=stated.schema, only=names, views=True, resolve_fks=False)
        except sa.exc.InvalidRequestError as error:
            raise Refused(f"The system {system} has no such table in schema {stated.schema}: {error}") from None
        items = data_map.value.of_system(system)
        tables = {item.key: metadata.tables[f"{stated.schema}.{item.name}"] for item in items}
        wrong = dialect.settle(connection, list(tables.values()))
    graph = Graph(system=system, data_map=data_map.value, tables=tables, dialect=dialect)
    for item in data_map.value.of_system(system):
        if missing := sorted({field.name for field in item.fields} - set(tables[item.key].columns.keys())):
            wrong.append(f"{item.key} has no column {', '.join(missing)} in the live database.")
        elif not graph.key_columns(item.key):
            wrong.append(f"{item.key} has no key: mark the fields that name a record as its primary_key.")
        wrong += [
            f"{item.key}.{name} cannot be masked as {mask} on {dialect.name}: {dialect.unmaskable[mask]}"
            for name, mask in item.mask.items()
            if mask in dialect.unmaskable
        ]
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


@contextmanager
def _translated(system: str, dialect: Dialect) -> Iterator[None]:
    """A driver's errors as ours, without the values that its messages quote."""
    try:
        yield
    except PoolTimeout:
        raise Unavailable(f"The system {system} is busy.") from None
    except NoSuchTableError as error:
        raise Refused(f"The system {system} has no table {error}.") from None
    except DBAPIError as error:
        trouble = dialect.explain(error)
        if trouble.constraint:
            raise Refused(f"The system {system} refuses: constraint {trouble.constraint}.") from None
        if trouble.late:
            raise Unavailable(f"The system {system} did not answer in time ({trouble.code}).") from None
        if trouble.away:
            raise Unavailable(f"The system {system} cannot be reached ({trouble.code or 'no connection'}).") from None
        if trouble.read_only:
            raise Unavailable(
                f"The system {system} is read-only ({trouble.code}): name the server that takes writes, or have this"
                " one take them from the portal's role."
            ) from None
        raise Refused(f"The system {system} refuses ({trouble.numbered}){trouble.remedy}.") from None
    except SQLAlchemyError as error:
        raise Refused(f"The system {system} cannot be asked: {type(error).__name__}.") from None
