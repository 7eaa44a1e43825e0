"""Facts that stand in the way, read from the systems that know them. Silence of a system never counts as clear."""

from collections.abc import Collection, Iterable

from rights.connectors.base import Snapshot
from rights.datamap import DataMap
from rights.kernel.plan import BlockerFact


def read_blockers(snapshot: Snapshot, *, system: str, data_map: DataMap) -> list[BlockerFact]:
    """The blockers of one system that hold for the snapshot's person now."""
    stated = [
        item for item in data_map.blockers.values() if data_map.collections[item.condition.collection].system == system
    ]
    facts = snapshot.read_facts([(item.condition, item.show) for item in stated])
    return [
        BlockerFact(
            key=item.key,
            entity=data_map.collections[item.condition.collection].entity,
            collection=item.condition.collection,
            count=fact.count,
            cancel=item.cancel,
            blocks=item.blocks,
            shown=fact.shown,
            waivable=item.waivable,
        )
        for item, fact in zip(stated, facts, strict=True)
        if fact.count
    ]


def read_relationships(snapshot: Snapshot, *, system: str, data_map: DataMap) -> frozenset[str]:
    """The entities whose relationship with the person runs, as far as this system tells."""
    stated = [
        (entity.key, entity.relationship)
        for entity in data_map.entities.values()
        if entity.relationship and data_map.collections[entity.relationship.collection].system == system
    ]
    facts = snapshot.read_facts([(condition, ()) for _, condition in stated])
    return frozenset(key for (key, _), fact in zip(stated, facts, strict=True) if fact.count)


def blocks_cancellation(
    facts: Iterable[BlockerFact], *, entity: str, given_up: Collection[str] = frozenset()
) -> tuple[str, ...]:
    """Keys of the facts that defer the whole cancellation of an entity's service.

    What the person has expressly given up and may give up does not defer it.
    """
    return tuple(
        fact.key
        for fact in facts
        if fact.entity == entity and fact.cancel == "defer" and not (fact.waivable and fact.key in given_up)
    )
