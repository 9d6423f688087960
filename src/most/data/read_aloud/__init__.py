"""Sentences read aloud by synthetic voices, into a set like a prepared corpus (`most data read-aloud`)."""
