"""The decision page: whether an engine pays, for those who decide; see :mod:`.page`."""

from tipsc.report.decision.facts import EngineFacts, facts_of
from tipsc.report.decision.page import decision
from tipsc.report.decision.render import to_html, to_markdown
from tipsc.report.decision.texts import LANGUAGES

__all__ = ["LANGUAGES", "EngineFacts", "decision", "facts_of", "to_html", "to_markdown"]
