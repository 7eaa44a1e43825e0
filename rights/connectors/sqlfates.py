"""What becomes of each row: the policies of a plan as SQL over the rows of a `Reach`.

`f` is the fate as a small number, `t` the day that starts the period, `u` the last day held. A row comes to the first
that applies: confidential, blocked, hold, person, mask or erase; then what stays keeps what it hangs on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.selectable import CTE, FromClause

from rights.connectors.base import Policy
from rights.connectors.sqldialect import bool_or, greatest, months_after, months_after_next_january
from rights.connectors.sqlgraph import Graph, Origin
from rights.connectors.sqlmasks import is_masked
from rights.connectors.sqlreach import InPlace, Reach, typed_value
from rights.datamap import Collection, Edge
from rights.kernel.plan import Fate
from rights.kernel.retention import Count, Rule, duration_months

OUTSIDE, BLOCKED, HOLD, HOLD_OPEN, KEEP, PERSON, GO, MASKED, RESTRICT, REFUSE = range(10)
"""Fates as small numbers. OUTSIDE rows are not the request's (too new, confidential) but still keep their parents;
MASKED ones were masked before: there is nothing left to do about them."""

FIXED = {
    Fate.BLOCKED: BLOCKED,
    Fate.KEEP: KEEP,
    Fate.PERSON: PERSON,
    Fate.RESTRICT: RESTRICT,
    Fate.REFUSE: REFUSE,
}
RESTRICTED = (HOLD, RESTRICT)
"""Fates of rows that may only be stored from now on (PIPL art. 47): their period runs, or they are hard to erase. Not
of those whose period has not begun: they are in use."""
_STAYS_OPEN = (OUTSIDE, HOLD_OPEN, KEEP, RESTRICT, REFUSE)


@dataclass(frozen=True)
class Hanger:
    """Rows that need a collection's rows: foreign-key children, and rows that are found only through it.

    `pairs`: (the other's column, the collection's column). A way is kept for what the request itself must come back
    for; a foreign key for whatever stays. `other` is empty for what hangs on it in another database.
    """

    other: str
    pairs: tuple[tuple[str, str], ...]
    way: Edge | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the rows are another database's, which has said what it keeps."""
        return not self.other


@dataclass(frozen=True)
class Judged:
    """What becomes of the rows of `source`: the fate, the day that starts the period, the last day held."""

    source: Any
    fate: ColumnElement[Any]
    trigger: ColumnElement[Any]
    until: ColumnElement[Any]


class Fates:
    """The fates of one set of policies over one reach."""

    def __init__(self, reach: Reach, policies: Mapping[str, Policy]) -> None:
        self.reach = reach
        self.dialect = reach.dialect
        self.graph: Graph = reach.graph
        self.policies = policies
        self._hangers = {key: self._find_hangers(key) for key in policies}
        self._links: dict[str, set[str]] = {}
        for hangers in self._hangers.values():
            for hanger in (hanger for hanger in hangers if not hanger.is_elsewhere):
                self._links.setdefault(hanger.other, set()).update(column for column, _ in hanger.pairs)
        self._stays: dict[str, bool] = {}
        self._totals: dict[CTE, CTE] = {}

    def all(self) -> dict[str, CTE]:
        """By collection, the reached rows with `f`, `t` and `u`."""
        found: dict[str, CTE] = {}
        order, rounds = self._order()
        for collection in order:
            found[collection] = self._judge(collection)
            found[collection] = self._keep_for_others(collection, found)
        for _ in range(rounds):
            # In a circle, what was judged first may have to stay for what was judged last.
            for collection in order:
                if self._hangers[collection]:
                    found[collection] = self._keep_for_others(collection, found)
        return found

    def _order(self) -> tuple[list[str], int]:
        """What hangs on a collection comes before it; where that goes round, how often it is gone over again."""
        sorter: TopologicalSorter[str] = TopologicalSorter({key: [] for key in self.policies})
        for key, hangers in self._hangers.items():
            for hanger in hangers:
                if not hanger.is_elsewhere:
                    sorter.add(key, hanger.other)
        try:
            return list(sorter.static_order()), 0
        except CycleError as error:
            order = [key for key in self.graph.erase_order if key in self.policies]
            return order, len(set(error.args[1]))

    # --- one collection by itself

    def _judge(self, collection: str) -> CTE:
        own = self.reach.own(collection)
        judged = self._judge_by(own, collection)
        days = judged.trigger.label("t"), judged.until.label("u")
        rows = sa.select(*own.c, judged.fate.label("f"), *days).select_from(judged.source)
        return rows.cte(self.reach.name("b"))

    def in_place(self, collection: str) -> ColumnElement[Any]:
        """The fate of a row of the table itself, where that follows from its own columns (`Graph.is_judged_alone`)."""
        return self._judge_by(self.reach.in_place(collection), collection).fate

    def _judge_by(self, own: CTE | InPlace, collection: str) -> "Judged":
        reach, item, policy = self.reach, self.graph.collections[collection], self.policies[collection]
        origin = self.graph.origin(item)
        source, trigger = self._trigger(own, item, policy, origin)
        going = sa.literal(GO) if policy.otherwise in {Fate.ERASE, Fate.MASK} else sa.literal(FIXED[policy.otherwise])
        cases: list[tuple[Any, Any]] = []
        if item.mask and policy.otherwise is Fate.MASK:
            masked = (is_masked(reach.column(own, collection, name), mask) for name, mask in item.mask.items())
            cases.append((sa.and_(*masked), MASKED))
        if outside := self._outside(own, item):
            cases.append((sa.or_(*outside), OUTSIDE))
        until: ColumnElement[Any] = sa.null().cast(sa.Date)
        if policy.fixed is not None:
            cases.append((sa.true(), FIXED[policy.fixed]))
        else:
            held, until = self._held(own, item, policy, trigger)
            cases += held
            if item.shared_goes_to_person and not policy.ignore_shared:
                cases.append((own.c["s"], PERSON))
        fate = sa.case(*cases, else_=going) if cases else going
        return Judged(source, fate, trigger, until)

    def _held(
        self, own: CTE | InPlace, item: Collection, policy: Policy, trigger: ColumnElement[Any]
    ) -> tuple[list[tuple[Any, Any]], ColumnElement[Any]]:
        """The cases of the policy's terms, and the last day held."""

        def meet(term: Any) -> list[ColumnElement[bool]]:
            return [sa.true(), *self.reach.where(own, item.key, term.when)]

        ruled = [term for term in policy.terms if term.rule]
        fixed = [(sa.and_(*meet(term)), term.until) for term in policy.terms if term.until]
        dated = [sa.and_(*meet(term), trigger >= term.cutoff) for term in ruled]
        cases: list[tuple[Any, Any]] = []
        until: ColumnElement[Any] = sa.null().cast(sa.Date)
        if ruled and self._may_lack_a_trigger(item, policy):
            cases.append((sa.or_(*(sa.and_(*meet(term), trigger.is_(None)) for term in ruled)), HOLD_OPEN))
        if ruled or fixed:
            cases.append((sa.or_(*dated, *(condition for condition, _ in fixed)), HOLD))
            days = [
                sa.case((condition, release_day(trigger, term.rule)), else_=None)
                for condition, term in zip(dated, ruled, strict=True)
                if term.rule
            ]
            days += [
                sa.case((condition, sa.cast(sa.literal(day, sa.Date), sa.Date)), else_=None) for condition, day in fixed
            ]
            until = greatest(*days) if len(days) > 1 else days[0]
        unruled = [sa.and_(*meet(term)) for term in policy.terms if term.rule is None and term.until is None]
        if unruled:
            cases.append((sa.or_(*unruled), PERSON))
        return cases, until

    def _may_lack_a_trigger(self, item: Collection, policy: Policy) -> bool:
        if policy.trigger_default is not None:
            return False
        column = item.trigger_column
        return not column or bool(self.graph.tables[item.key].c[column].nullable)

    def _trigger(
        self, own: CTE | InPlace, item: Collection, policy: Policy, origin: Origin | None
    ) -> tuple[Any, ColumnElement[Any]]:
        """The rows joined with what the trigger needs, and the Shanghai day that starts the period; empty where it has
        not begun."""
        source: Any = own
        day: ColumnElement[Any]
        if origin:
            links = self.reach.columns(own, item.key, origin.links)
            theirs = origin.table.alias(self.reach.name("g"))
            value = as_day(self.dialect.stored(theirs.c[origin.field]))
            named = [theirs.c[name] for name in origin.columns]
            # Where several rows are meant, the last of them to end starts the period; one that runs, none.
            last = sa.case((bool_or(value.is_(None)), None), else_=sa.func.max(value))
            ends = (
                sa.select(*(column.label(f"v{i}") for i, column in enumerate(named)), last.label("d"))
                .where(
                    sa.tuple_(*named).in_(
                        sa.select(
                            *(self.dialect.converted(link, name.type) for link, name in zip(links, named, strict=True))
                        )
                    )
                )
                .group_by(*named)
                .subquery(self.reach.name("g"))
            )
            same = (
                ends.c[f"v{i}"] == self.dialect.converted(link, ends.c[f"v{i}"].type) for i, link in enumerate(links)
            )
            source = source.outerjoin(ends, sa.and_(*same))
            day = ends.c.d
        elif item.trigger_column:
            # Once more, as the column of a key is told as it is.
            day = as_day(self.dialect.stored(self.reach.column(own, item.key, item.trigger_column)))
        else:
            return own, sa.cast(sa.literal(policy.trigger_default, sa.Date), sa.Date)
        if policy.trigger_default is not None:
            day = sa.func.coalesce(day, sa.cast(sa.literal(policy.trigger_default, sa.Date), sa.Date))
        return source, day

    def _outside(self, own: CTE | InPlace, item: Collection) -> list[ColumnElement[bool]]:
        """What is not the request's: confidential rows, and rows that came after it."""
        if item.confidential:
            return [sa.true()]
        if not item.cutoff or self.reach.seed.scope_cutoff is None:
            return []
        column = self.reach.column(own, item.key, item.cutoff)
        return [column > self.reach.scope(column.type)]

    def totals(self, collection: str, rows: CTE) -> CTE:
        """A collection's rows counted (`k`) by fate, and by what they hang on, with the first and last day held (`a`,
        `z`). Counts of a plan and what the parents need come of this one pass over the rows.

        Where nothing but the trigger decides, the days follow from the smallest and the largest trigger (retention is
        monotone), and no date is computed row by row.
        """
        if rows not in self._totals:
            keys = [self.reach.column(rows, collection, name) for name in sorted(self._links.get(collection, ()))]
            first: ColumnElement[Any] = sa.func.min(rows.c.u)
            last: ColumnElement[Any] = sa.func.max(rows.c.u)
            if self._goes_by_trigger(collection):
                policy = self.policies[collection]
                first, last = (_last_held(day, policy) for day in (sa.func.min(rows.c.t), sa.func.max(rows.c.t)))
            held = rows.c.f == HOLD
            self._totals[rows] = (
                sa.select(
                    *keys,
                    *self.reach.subject(rows),
                    rows.c.f,
                    sa.func.count().label("k"),
                    sa.case((held, first), else_=None).label("a"),
                    sa.case((held, last), else_=None).label("z"),
                )
                .group_by(*keys, *self.reach.subject(rows), rows.c.f)
                .cte(self.reach.name("t"))
            )
        return self._totals[rows]

    def is_linked(self, collection: str) -> bool:
        """Whether `totals` are told apart by what the rows hang on, beside their fate."""
        return bool(self._links.get(collection))

    def may_be_left(self, collection: str) -> bool:
        """Whether some of the rows may be none of the request's (OUTSIDE), or done with (MASKED)."""
        item = self.graph.collections[collection]
        return bool(item.confidential or item.mask or (item.cutoff and self.reach.seed.scope_cutoff))

    def _goes_by_trigger(self, collection: str) -> bool:
        """Whether the day of a held row follows from its trigger alone: no condition, no exception, nothing on it."""
        policy = self.policies[collection]
        return (
            bool(policy.terms)
            and all(term.rule and not term.when and not term.until for term in policy.terms)
            and not self._hangers[collection]
            and not self.graph.keys_to_itself(collection)
        )

    # --- what hangs on it

    def _find_hangers(self, collection: str) -> list[Hanger]:
        """What may make a row of the collection stay; none where its own policy settles every row."""
        if not self._may_change(collection):
            return []
        found = [Hanger(key.child, key.pairs) for key in self.graph.keys_to(collection) if key.child in self.policies]
        for edge in self.graph.edges_from(collection):
            pairs = tuple(zip(edge.target_fields, edge.source_fields, strict=True))
            if (
                edge.target in self.policies
                and edge.target != collection
                and not self.reach.has_identity(edge.target)
                and not any(hanger.other == edge.target and set(hanger.pairs) == set(pairs) for hanger in found)
            ):
                found.append(Hanger(edge.target, pairs, way=edge))
            elif edge in self.reach.seed.anchors:
                found.append(Hanger("", pairs, way=edge))
        return found

    def _may_change(self, collection: str) -> bool:
        """Whether a row may go, or be held to a day: else nothing that hangs on it changes its fate."""
        policy, item = self.policies[collection], self.graph.collections[collection]
        always_open = not item.trigger and policy.trigger_default is None
        return policy.fixed is None and not (always_open and any(term.rule and not term.when for term in policy.terms))

    def _may_stay(self, collection: str) -> bool:
        """Whether a row may do anything but go, before any is read."""
        if collection not in self._stays:
            self._stays[collection] = True  # in a circle, until it is known better
            policy, item = self.policies[collection], self.graph.collections[collection]
            self._stays[collection] = bool(
                policy.fixed
                or policy.otherwise is not Fate.ERASE
                or policy.terms
                or item.confidential
                or (item.cutoff and self.reach.seed.scope_cutoff)
                or (self.graph.may_be_shared(collection) and item.shared_goes_to_person and not policy.ignore_shared)
                or any(self._matters(collection, hanger) for hanger in self._hangers[collection])
                or self.graph.keys_to_itself(collection)
            )
        return self._stays[collection]

    def _matters(self, collection: str, hanger: Hanger) -> bool:
        return (
            hanger.is_elsewhere
            or self._may_stay(hanger.other)
            or not (hanger.way or self._reaches_all(collection, hanger))
        )

    def _keep_for_others(self, collection: str, found: Mapping[str, CTE]) -> CTE:
        """A row that a staying row hangs on stays with it: dated as the last of them, or as long as they.

        Where the staying row is masked, or is none of the person's, a person decides: the database would refuse to
        erase the parent, or take that row with it.
        """
        base = found[collection]
        summaries: list[tuple[Hanger, FromClause]] = []
        strangers: list[tuple[tuple[str, ...], FromClause]] = []
        for hanger in self._hangers[collection]:
            if hanger.is_elsewhere and hanger.way:
                summaries.append((hanger, self._given_anchors(collection, hanger.way)))
            elif hanger.other in found and self._may_stay(hanger.other):
                summaries.append((hanger, self._summarise(hanger, found[hanger.other])))
            if not hanger.way and not self._reaches_all(collection, hanger):
                strangers.append((tuple(column for _, column in hanger.pairs), self._strangers(collection, hanger)))
        for key in self.graph.keys_to_itself(collection) if self._may_change(collection) else ():
            hanger = Hanger(collection, key.pairs)
            if not self._reaches_all(collection, hanger):
                strangers.append((tuple(column for _, column in key.pairs), self._strangers(collection, hanger)))
        kept = self._kept(collection, base, summaries, strangers) if summaries or strangers else base
        for key in self.graph.keys_to_itself(collection) if self._may_change(collection) else ():
            above = self._ancestors(collection, kept, key.pairs)
            kept = self._kept(collection, kept, [(Hanger(collection, key.pairs), above)], [])
        return kept

    def _kept(
        self,
        collection: str,
        base: CTE,
        summaries: Sequence[tuple[Hanger, FromClause]],
        strangers: Sequence[tuple[tuple[str, ...], FromClause]],
    ) -> CTE:
        joined: FromClause = base
        for hanger, summary in summaries:
            columns = self.reach.columns(base, collection, (column for _, column in hanger.pairs))
            links = [summary.c[f"p{i}"] for i in range(len(columns))]
            condition = [
                link == self.dialect.converted(column, link.type) for link, column in zip(links, columns, strict=True)
            ]
            if hanger.way:
                condition += self.reach.where(base, collection, hanger.way.when)
            joined = joined.outerjoin(summary, sa.and_(*condition, *self.reach.same_subject(summary, base)))
        for names, theirs in strangers:
            condition = [
                theirs.c[f"p{i}"] == column for i, column in enumerate(self.reach.columns(base, collection, names))
            ]
            joined = joined.outerjoin(theirs, sa.and_(*condition, *self.reach.same_subject(theirs, base)))

        def any_of(column: str) -> ColumnElement[bool]:
            return sa.or_(sa.false(), *(sa.func.coalesce(summary.c[column], sa.false()) for _, summary in summaries))

        person = sa.or_(any_of("h"), *(theirs.c.p0.is_not(None) for _, theirs in strangers))
        days = [summary.c.u for _, summary in summaries]
        latest = greatest(*days, sa.null().cast(sa.Date)) if days else sa.null().cast(sa.Date)
        goes = sa.case(
            (any_of("b"), BLOCKED),
            (any_of("o"), HOLD_OPEN),
            (latest.is_not(None), HOLD),
            (person, PERSON),
            else_=base.c.f,
        )
        held = sa.case((any_of("b"), BLOCKED), (any_of("o"), HOLD_OPEN), else_=HOLD)
        fate = sa.case((base.c.f.in_([GO, PERSON]), goes), (base.c.f == HOLD, held), else_=base.c.f)
        until = sa.case((fate == HOLD, greatest(base.c.u, latest)), else_=None)
        columns = [column for column in base.c if column.name not in {"f", "u"}]
        rows = sa.select(*columns, fate.label("f"), until.label("u")).select_from(joined)
        return rows.cte(self.reach.name("f"))

    def _summarise(self, hanger: Hanger, found: CTE) -> FromClause:
        """By the key that hangs on the parent: whether a row stays blocked (b), open (o), for a person (h), until u."""
        rows = self.totals(hanger.other, found)
        links = self.reach.columns(rows, hanger.other, (column for column, _ in hanger.pairs))
        open_: tuple[int, ...] = (HOLD_OPEN,) if hanger.way else _STAYS_OPEN
        undecided: tuple[int, ...] = ()
        if not hanger.way:
            undecided = (PERSON, MASKED, *((GO,) if self._keeps_link(hanger) else ()))
        staying = (BLOCKED, HOLD, *open_, *undecided)
        return (
            sa.select(
                *(link.label(f"p{i}") for i, link in enumerate(links)),
                *self.reach.subject(rows),
                bool_or(rows.c.f == BLOCKED).label("b"),
                bool_or(rows.c.f.in_(open_)).label("o"),
                (bool_or(rows.c.f.in_(undecided)) if undecided else sa.false()).label("h"),
                sa.func.max(rows.c.z).label("u"),
            )
            .where(rows.c.f.in_(staying))
            .group_by(*links, *self.reach.subject(rows))
            .subquery(self.reach.name("s"))
        )

    def anchors(self, edge: Edge, rows: CTE) -> sa.Select[Any]:
        """The keys of an edge from another database whose rows here stay for a while: the key, b, o and u."""
        hanger = Hanger(edge.target, tuple(zip(edge.target_fields, edge.source_fields, strict=True)), way=edge)
        self._links.setdefault(edge.target, set()).update(edge.target_fields)
        staying = self._summarise(hanger, rows)
        keys = [staying.c[f"p{i}"] for i in range(len(edge.target_fields))]
        return sa.select(*keys, staying.c.b, staying.c.o, staying.c.u)

    def _given_anchors(self, collection: str, edge: Edge) -> FromClause:
        """What another database keeps, in the form of `_summarise`, with keys as this one's columns hold them."""
        table = self.graph.tables[collection]
        types = [table.c[name].type for name in edge.source_fields]
        rows = []
        for anchor in self.reach.seed.anchors[edge]:
            key = [typed_value(value, type_) for value, type_ in zip(anchor.key, types, strict=True)]
            if None not in key:
                rows.append((*key, anchor.blocked, anchor.open_ended, False, anchor.until))
        columns = {
            **{f"p{i}": type_ for i, type_ in enumerate(types)},
            **dict.fromkeys(("b", "o", "h"), sa.Boolean()),
            "u": sa.Date(),
        }
        given: FromClause = self.reach.given(columns, rows).subquery(self.reach.name("s"))
        return given

    def _ancestors(self, collection: str, rows: CTE, pairs: Sequence[tuple[str, str]]) -> FromClause:
        """Along a table's key to itself: every row above a staying one, with the fate that it is kept by."""
        reach = self.reach
        ours = [column for column, _ in pairs]
        theirs = [column for _, column in pairs]
        up = sa.select(
            *(column.label(f"p{i}") for i, column in enumerate(reach.columns(rows, collection, ours))),
            *reach.subject(rows),
            rows.c.f,
            rows.c.u,
        ).where(rows.c.f != GO)
        above = up.cte(reach.name("a"), recursive=True)
        step = sa.select(
            *reach.columns(rows, collection, ours), *reach.subject(rows), above.c.f, above.c.u
        ).select_from(
            above.join(
                rows,
                sa.and_(
                    *(above.c[f"p{i}"] == column for i, column in enumerate(reach.columns(rows, collection, theirs))),
                    *reach.same_subject(above, rows),
                ),
            )
        )
        above = above.union(step)
        links = [above.c[f"p{i}"] for i in range(len(pairs))]
        return (
            sa.select(
                *links,
                *reach.subject(above),
                bool_or(above.c.f == BLOCKED).label("b"),
                bool_or(above.c.f.in_(_STAYS_OPEN)).label("o"),
                bool_or(above.c.f.in_([PERSON, MASKED])).label("h"),
                sa.func.max(sa.case((above.c.f == HOLD, above.c.u), else_=None)).label("u"),
            )
            .group_by(*links, *reach.subject(above))
            .subquery(reach.name("s"))
        )

    def _keeps_link(self, hanger: Hanger) -> bool:
        """Whether a row that is masked goes on referring to its parent."""
        mask = self.graph.collections[hanger.other].mask
        masked = self.policies[hanger.other].otherwise is Fate.MASK
        return masked and not any(column in mask for column, _ in hanger.pairs)

    def _reaches_all(self, parent: str, hanger: Hanger) -> bool:
        """Whether every row that refers to the person's parent is the person's as well, by the walk itself."""
        return any(
            edge.source == parent
            and not edge.when
            and set(zip(edge.target_fields, edge.source_fields, strict=True)) == set(hanger.pairs)
            for edge in self.graph.edges_into(hanger.other)
        )

    def _strangers(self, parent: str, hanger: Hanger) -> FromClause:
        """Keys of the person's parents that a row which is not the person's refers to."""
        reach = self.reach
        table = self.graph.tables[hanger.other].alias(reach.name("x"))
        mine = reach.reach(hanger.other)
        parents = reach.reach(parent)
        links = [table.c[column] for column, _ in hanger.pairs]
        ours = reach.columns(parents, parent, (column for _, column in hanger.pairs))
        same = sa.and_(
            *(table.c[name] == reach.column(mine, hanger.other, name) for name in self.graph.key_columns(hanger.other))
        )
        labels = [link.label(f"p{i}") for i, link in enumerate(links)]
        if not reach.many:
            return (
                sa.select(*labels)
                .where(
                    sa.tuple_(*links).in_(sa.select(*ours)),
                    ~sa.exists(sa.select(sa.literal(1)).select_from(mine).where(same)),
                )
                .distinct()
                .subquery(reach.name("x"))
            )
        owner = reach.orderable(mine.c.j)
        summary = (
            sa.select(
                *labels,
                sa.func.min(owner).label("a"),
                sa.func.max(owner).label("z"),
                bool_or(mine.c.j.is_(None)).label("n"),
            )
            .select_from(table.outerjoin(mine, same))
            .group_by(*links)
            .subquery(reach.name("z"))
        )
        me = reach.orderable(parents.c.j)
        return (
            sa.select(*(summary.c[f"p{i}"] for i in range(len(links))), parents.c.j)
            .join(parents, sa.and_(*(summary.c[f"p{i}"] == column for i, column in enumerate(ours))))
            .where(sa.or_(summary.c.n, summary.c.a != me, summary.c.z != me))
            .distinct()
            .subquery(reach.name("x"))
        )


def _last_held(trigger: ColumnElement[Any], policy: Policy) -> ColumnElement[Any]:
    """The last day on which a record with this trigger is held under the policy's rules."""
    days = [
        sa.case((trigger >= term.cutoff, release_day(trigger, term.rule)), else_=None)
        for term in policy.terms
        if term.rule
    ]
    return greatest(*days) if len(days) > 1 else days[0]


def as_day(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A date or timestamp column as a Shanghai day."""
    if isinstance(column.type, sa.Date):
        return column
    if isinstance(column.type, sa.DateTime) and column.type.timezone:
        return sa.cast(sa.func.timezone("Asia/Shanghai", column), sa.Date)
    return sa.cast(column, sa.Date)


def release_day(trigger: ColumnElement[Any], rule: Rule) -> ColumnElement[Any]:
    """The last day held, as `kernel.retention.last_day` has it: databases add months by the same rule."""
    later = months_after_next_january if rule.count is Count.NEXT_JANUARY else months_after
    return later(trigger, duration_months(rule.duration))
