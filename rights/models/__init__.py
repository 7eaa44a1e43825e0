"""What the portal remembers of requests, rules, holds, consents and messages."""

from rights.models.appeals import Appeal, Relation
from rights.models.calendar import CalendarYear, KindLimit
from rights.models.consent import ConsentEvent, CorrectionRecord
from rights.models.datamap import DataMapVersion
from rights.models.gates import Gate
from rights.models.handling import Fee, PolicyVersion, Proof
from rights.models.handovers import Evidence, Handover
from rights.models.messages import Notice
from rights.models.privacy import Breach, PrivacyPolicy
from rights.models.receipts import Receipt, StatusSecret
from rights.models.requests import Batch, Decision, Event, Move, Package, Question, Request, Step
from rights.models.retention import (
    Hold,
    HoldRevision,
    RelationshipEnd,
    Restricted,
    RetentionException,
    RetentionRule,
    SubjectVault,
)
from rights.models.thread import Attachment, Message

__all__ = [
    "Appeal",
    "Attachment",
    "Batch",
    "Breach",
    "CalendarYear",
    "ConsentEvent",
    "CorrectionRecord",
    "DataMapVersion",
    "Decision",
    "Event",
    "Evidence",
    "Fee",
    "Gate",
    "Handover",
    "Hold",
    "HoldRevision",
    "KindLimit",
    "Message",
    "Move",
    "Notice",
    "Package",
    "PolicyVersion",
    "PrivacyPolicy",
    "Proof",
    "Question",
    "Receipt",
    "Relation",
    "RelationshipEnd",
    "Request",
    "Restricted",
    "RetentionException",
    "RetentionRule",
    "StatusSecret",
    "Step",
    "SubjectVault",
]
