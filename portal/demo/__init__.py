"""The demo: the seven entities' stand-in business systems, their people, their data map. Never in production."""
