"""What a query may ask for: names of the fields, other names they are known by, and what kind of value they have."""

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a value of a field is; the text says what to write."""

    NUMBER = "a whole number, for example 15921"
    SIZE = "a size, for example 2000000000 or 2GB"
    TEXT = "a text, for example raw or 'two words'"
    TIME = "a date or time, for example 2018-04-01 or 2018-04-01T12:30:00"
    SUM8 = "a checksum of 8 hexadecimal digits"
    SUM64 = "a checksum of 64 hexadecimal digits"


class Field(NamedTuple):
    """A field that queries know."""

    name: str
    kind: Kind
    aliases: tuple[str, ...]
    about: str


FIELDS = {
    field.name: field
    for field in (
        Field("name", Kind.TEXT, ("file_name",), "name of the file, without its folder"),
        Field("size", Kind.SIZE, ("file_size",), "size in bytes; units kB MB GB TB, KiB MiB GiB TiB"),
        Field("tier", Kind.TEXT, ("data_tier",), "raw, truth, metadata, reco, report ..."),
        Field("format", Kind.TEXT, ("file_format",), "midas, hdf5, json ..."),
        Field("run", Kind.NUMBER, ("run_number",), "run number"),
        Field("subrun", Kind.NUMBER, ("subrun_number",), "subrun number"),
        Field("first_event", Kind.NUMBER, (), "serial number of the first event"),
        Field("last_event", Kind.NUMBER, (), "serial number of the last event"),
        Field("events", Kind.NUMBER, ("event_count",), "number of events"),
        Field("begin_time", Kind.TIME, ("start_time",), "time of the first event, UTC"),
        Field("end_time", Kind.TIME, (), "time of the last event, UTC"),
        Field("version", Kind.TEXT, ("application_version",), "version of the program that made it"),
        Field("config_hash", Kind.TEXT, (), "SHA-256 of the configuration"),
        Field("seed", Kind.NUMBER, (), "seed of the random numbers"),
        Field("preset", Kind.TEXT, (), "preset or file of the configuration"),
        Field("conditions", Kind.TEXT, (), "version of the constants"),
        Field("campaign", Kind.TEXT, ("dataset",), "data set it was made for"),
        Field("owner", Kind.TEXT, (), "who owns the campaign"),
        Field("status", Kind.TEXT, ("content_status",), "good, bad or retired"),
        Field("folder", Kind.TEXT, ("location",), "folder that holds it"),
        Field("description", Kind.TEXT, (), "free text"),
        Field("declared", Kind.TIME, ("create_date",), "when it was declared, UTC"),
        Field("adler32", Kind.SUM8, (), "Adler-32 that starts from 0"),
        Field("crc32c", Kind.SUM8, (), "CRC-32C"),
        Field("sha256", Kind.SUM64, (), "SHA-256"),
    )
}
"""Every field by its name."""

BY_ALIAS = FIELDS | {alias: field for field in FIELDS.values() for alias in field.aliases}
"""Every field by all its names."""
