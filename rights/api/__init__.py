"""The REST interface: what a person can do on the pages, for programs. Errors are RFC 9457 problems."""
