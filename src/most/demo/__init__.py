"""`make demo`: the whole pipeline at nano size on recorded digits, and its report."""
