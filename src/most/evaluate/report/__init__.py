"""The report of an evaluation, made from its folder alone: `report.md` and `report.html`; no model is loaded."""

from most.evaluate.report.write import write_reports

__all__ = ["write_reports"]
