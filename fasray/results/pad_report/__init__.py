"""The report of a PAD test after ISO/IEC 30107-3: one model on one protocol, one self-contained HTML page."""

from fasray.results.pad_report.content import PadReport, build_pad_report
from fasray.results.pad_report.model import PadOptions
from fasray.results.pad_report.page import pad_report_html

__all__ = ["PadOptions", "PadReport", "build_pad_report", "pad_report_html"]
