"""Who is source and who is target: named protocols, and the role that each row of the data has in them."""

from fasray.protocols.protocol import Protocol, TargetSplit
from fasray.protocols.registry import DOMAIN_TITLES, GROUPS, Listing, describe, names, outer_name, parse, resolve
from fasray.protocols.roles import Roles, RowTable, spaced_frames

__all__ = [
    "DOMAIN_TITLES",
    "GROUPS",
    "Listing",
    "Protocol",
    "Roles",
    "RowTable",
    "TargetSplit",
    "describe",
    "names",
    "outer_name",
    "parse",
    "resolve",
    "spaced_frames",
]
