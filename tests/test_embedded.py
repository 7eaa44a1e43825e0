"""The embedded parts, on folders as people have them."""
