"""One module a family of endpoints; each has its `router`."""
