"""How the portal runs: settings, processes, the embedded parts, the demo."""
