"""Tables of the book of data quality: those of the experiment's schema gm2dq by their names, and the flags of events.

Columns of the first four as the experiment has them (public analysis scripts that read them). ``hv_status``, 64 bits
there, is a text of 64 characters 0 and 1, so that every kind of database can hold it. ``fill_flags`` is ours.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
)

METADATA = MetaData()


def _of_subrun() -> tuple[Column[int], Column[int]]:
    return Column("run", Integer, nullable=False), Column("subrun", Integer, nullable=False)


SUBRUN_TIME = Table(
    "subrun_time",
    METADATA,
    *_of_subrun(),
    Column("start_time", DateTime, nullable=False),
    Column("end_time", DateTime, nullable=False),
    Column("start_gps", Float, nullable=False),
    Column("end_gps", Float, nullable=False),
    Column("nevents", Integer, nullable=False),
    PrimaryKeyConstraint("run", "subrun"),
)

CTAGS = Table(
    "ctagswithdqc",
    METADATA,
    *_of_subrun(),
    Column("ctags", BigInteger, nullable=False),
    Column("t0val", Float),
    Column("fills", Integer, nullable=False),
    PrimaryKeyConstraint("run", "subrun"),
)

CHECKS = (
    "quad_ok", "ctags_ok", "losses_ok", "fillcuts_ok", "field_ok", "ctags_loose_ok", "quad_loose_ok",
    "ctags_repeat_ok", "losses_repeat_ok", "fillcuts_repeat_ok",
)  # fmt: skip
"""Yes and no of a subrun."""

SUBRUN_STATUS = Table(
    "subrun_status",
    METADATA,
    *_of_subrun(),
    Column("quad_condition", Integer, nullable=False),
    Column("kicker_condition", Integer, nullable=False),
    *(Column(name, Boolean, nullable=False) for name in CHECKS[:5]),
    Column("trolley_period", Integer, nullable=False),
    Column("field_period", Integer, nullable=False),
    *(Column(name, Boolean, nullable=False) for name in CHECKS[5:]),
    PrimaryKeyConstraint("run", "subrun"),
)

TRACKER_HV = Table(
    "tracker_hv",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("station", Integer, nullable=False),
    Column("hv_status", String(64), nullable=False),
    *_of_subrun(),
)

FILL_FLAGS = Table(
    "fill_flags",
    METADATA,
    *_of_subrun(),
    Column("event", Integer, nullable=False),
    Column("fill_type", Integer, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("ctags", Integer, nullable=False),
    Column("triples", Integer, nullable=False),
    Column("kick_gauss", Float),
    Column("quad_kv", Float),
    Column("t0_ns", Float),
    PrimaryKeyConstraint("run", "subrun", "event"),
)

TABLES = (SUBRUN_TIME, CTAGS, SUBRUN_STATUS, TRACKER_HV, FILL_FLAGS)
