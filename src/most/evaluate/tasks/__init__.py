"""The five families of evaluation: each a task on one set."""
