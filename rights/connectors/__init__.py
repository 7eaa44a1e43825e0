"""How the portal reads and changes business systems. A connector knows no other; only the registry knows all."""
