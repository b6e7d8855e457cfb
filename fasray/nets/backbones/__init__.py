"""Networks from images to features, by name: what a method's ``backbone`` setting chooses from."""

from fasray.nets.backbones.registry import (
    Backbone,
    get,
    least_scratch_rate,
    make,
    names,
    normalizer,
    recommended,
    registered,
)

__all__ = ["Backbone", "get", "least_scratch_rate", "make", "names", "normalizer", "recommended", "registered"]
