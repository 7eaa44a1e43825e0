"""Data maps as engineers write them: published ones, a bank's, and a zoo of schemas that set traps."""
