"""Reports: JSON values of comparisons, evaluations and histories -> pages and drawings that need nothing else to open.

They ask no repository and no service: the same values give the same bytes, whether they came from a folder or HTTP.
"""

from typing import TYPE_CHECKING

from vecver.doors import lazily

if TYPE_CHECKING:
    from vecver.reports.comparing import comparison_page
    from vecver.reports.evaluating import evaluation_page
    from vecver.reports.histories import against_latency, history_page, history_svg, over_versions
    from vecver.reports.pages import is_better
    from vecver.reports.plots import Plot
else:
    __getattr__, __dir__ = lazily(__name__)

__all__ = [
    "Plot",
    "against_latency",
    "comparison_page",
    "evaluation_page",
    "history_page",
    "history_svg",
    "is_better",
    "over_versions",
]
