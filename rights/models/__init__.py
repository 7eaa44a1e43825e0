"""What the portal remembers of requests, rules, holds, consents and messages."""

from rights.models.consent import ConsentEvent, CorrectionRecord
from rights.models.datamap import DataMapVersion
from rights.models.handling import Fee, PolicyVersion, Proof
from rights.models.messages import Notice
from rights.models.requests import Batch, Decision, Event, Package, Question, Request, Step
from rights.models.retention import Hold, RetentionRule, SubjectVault

__all__ = [
    "Batch",
    "ConsentEvent",
    "CorrectionRecord",
    "DataMapVersion",
    "Decision",
    "Event",
    "Fee",
    "Hold",
    "Notice",
    "Package",
    "PolicyVersion",
    "Proof",
    "Question",
    "Request",
    "RetentionRule",
    "Step",
    "SubjectVault",
]
