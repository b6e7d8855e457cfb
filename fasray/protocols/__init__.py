"""Who is source and who is target: named protocols, and the role that each row of the data has in them."""

from fasray.protocols.crossing import TargetSplit
from fasray.protocols.grammar import outer_name, part_names
from fasray.protocols.protocol import Protocol, with_same_sources
from fasray.protocols.registry import (
    DOMAIN_TITLES,
    GROUPS,
    Listing,
    describe,
    mean_rows,
    names,
    names_in_order,
    parse,
    resolve,
)
from fasray.protocols.roles import Roles, RowTable, spaced_frames, target_role

__all__ = [
    "DOMAIN_TITLES",
    "GROUPS",
    "Listing",
    "Protocol",
    "Roles",
    "RowTable",
    "TargetSplit",
    "describe",
    "mean_rows",
    "names",
    "names_in_order",
    "outer_name",
    "parse",
    "part_names",
    "resolve",
    "spaced_frames",
    "target_role",
    "with_same_sources",
]
