"""Facts that stand in the way, read from the systems that know them. Silence of a system never counts as clear."""

from collections.abc import Collection, Iterable, Sequence

from rights.connectors.base import Snapshot
from rights.datamap import Blocker, DataMap, Entity
from rights.kernel.plan import BlockerFact


def own_blockers(system: str, data_map: DataMap) -> list[Blocker]:
    """The blockers that a system knows of."""
    return [
        item for item in data_map.blockers.values() if data_map.collections[item.condition.collection].system == system
    ]


def own_relationships(system: str, data_map: DataMap) -> list[Entity]:
    """The entities whose relationship with a person a system knows of."""
    return [
        entity
        for entity in data_map.entities.values()
        if entity.relationship and data_map.collections[entity.relationship.collection].system == system
    ]


def systems_to_ask_first(system: str, data_map: DataMap) -> list[str]:
    """Other systems that know of facts in the way of this one's records."""
    if data_map.systems[system].own:
        return []  # nothing stands in the way of what no request changes
    entity = data_map.systems[system].entity
    blocking = [item.condition.collection for item in data_map.blockers.values() if entity in item.entities]
    relationship = data_map.entities[entity].relationship
    asked = [*blocking, *([relationship.collection] if relationship else [])]
    return [key for key in dict.fromkeys(data_map.collections[name].system for name in asked) if key != system]


def make_fact(item: Blocker, data_map: DataMap, *, count: int, shown: Sequence[dict[str, str]] = ()) -> BlockerFact:
    return BlockerFact(
        key=item.key,
        entity=data_map.collections[item.condition.collection].entity,
        collection=item.condition.collection,
        count=count,
        cancel=item.cancel,
        blocks=item.blocks,
        shown=tuple(shown),
        entities=item.entities,
        waivable=item.waivable,
    )


def read_blockers(snapshot: Snapshot, *, system: str, data_map: DataMap) -> list[BlockerFact]:
    """The blockers of one system that hold for the snapshot's person now."""
    stated = own_blockers(system, data_map)
    facts = snapshot.read_facts([(item.condition, item.show) for item in stated])
    return [
        make_fact(item, data_map, count=fact.count, shown=[dict(row) for row in fact.shown])
        for item, fact in zip(stated, facts, strict=True)
        if fact.count
    ]


def read_relationships(snapshot: Snapshot, *, system: str, data_map: DataMap) -> frozenset[str]:
    """The entities whose relationship with the person runs, as far as this system tells."""
    stated = own_relationships(system, data_map)
    facts = snapshot.read_facts([(entity.relationship, ()) for entity in stated if entity.relationship])
    return frozenset(entity.key for entity, fact in zip(stated, facts, strict=True) if fact.count)


def blocks_cancellation(
    facts: Iterable[BlockerFact], *, entity: str, given_up: Collection[str] = frozenset()
) -> tuple[str, ...]:
    """Keys of the facts that defer the whole cancellation of an entity's service.

    What the person has expressly given up and may give up does not defer it.
    """
    return tuple(
        fact.key
        for fact in facts
        if fact.concerns(entity) and fact.cancel == "defer" and not (fact.waivable and fact.key in given_up)
    )
