"""Template tags and filters of the person's and the desk's pages."""
