"""What every floor stands on: keys, encrypted fields, roles, the ledger, the outbox, the clock."""
