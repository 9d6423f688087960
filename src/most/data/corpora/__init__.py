"""Published corpora, users' own recordings and text as sets that training reads: see `prepare` and `table`."""
