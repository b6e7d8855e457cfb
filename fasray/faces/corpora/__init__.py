"""Published datasets as they are on disk, one module each. Needs neither torch nor ray."""

from fasray.faces.corpora.corpus import Corpus, Survey
from fasray.faces.corpora.findings import Findings
from fasray.faces.corpora.registry import get, names
from fasray.faces.corpora.source_video import SourceVideo

__all__ = ["Corpus", "Findings", "SourceVideo", "Survey", "get", "names"]
