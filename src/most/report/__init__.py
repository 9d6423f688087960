"""One self-contained HTML page about a run: figures, tables, sound. `page` holds the pieces, `figures` draws them."""
