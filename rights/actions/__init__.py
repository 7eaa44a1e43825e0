"""What can be done. Pages, the API and the workers call these and nothing below; each writes, records and notifies."""
