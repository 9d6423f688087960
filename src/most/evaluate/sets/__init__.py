"""Test sets in their published layouts, read into items."""
