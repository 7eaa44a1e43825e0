"""What may be asked, and what comes of it."""
