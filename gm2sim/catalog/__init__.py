"""The catalogue: every file of a production by its metadata, found by queries, with where it comes from and lies."""

from gm2sim.catalog.ancestry import ancestors, descendants, locate, retire
from gm2sim.catalog.bulk import declare_columns
from gm2sim.catalog.columns import Columns
from gm2sim.catalog.declare import Declared, declare
from gm2sim.catalog.definitions import define, list_definitions, list_snapshots, snapshot
from gm2sim.catalog.lexer import QueryError
from gm2sim.catalog.parser import parse
from gm2sim.catalog.query import count, names, page, record, records
from gm2sim.catalog.record import FileRecord, Settings
from gm2sim.catalog.sam import export, from_sam, read_sam, to_sam
from gm2sim.catalog.sidecar import describe, read_subrun
from gm2sim.catalog.text import CatalogError
from gm2sim.catalog.verify import Verified, check_tables, verify_catalog, verify_folder

__all__ = [
    "CatalogError",
    "Columns",
    "Declared",
    "FileRecord",
    "QueryError",
    "Settings",
    "Verified",
    "ancestors",
    "check_tables",
    "count",
    "declare",
    "declare_columns",
    "define",
    "descendants",
    "describe",
    "export",
    "from_sam",
    "list_definitions",
    "list_snapshots",
    "locate",
    "names",
    "page",
    "parse",
    "read_sam",
    "read_subrun",
    "record",
    "records",
    "retire",
    "snapshot",
    "to_sam",
    "verify_catalog",
    "verify_folder",
]
