"""Tables of data quality: as gm2sim.quality.tables had them in the first version."""

import sqlalchemy as sa
from alembic import op

revision = "quality_0001"
down_revision = None
branch_labels = None
depends_on = None

_CHECKS = ("quad_ok", "ctags_ok", "losses_ok", "fillcuts_ok", "field_ok")
_MORE = ("ctags_loose_ok", "quad_loose_ok", "ctags_repeat_ok", "losses_repeat_ok", "fillcuts_repeat_ok")


def _number(name: str, kind: type[sa.types.TypeEngine] = sa.Integer) -> sa.Column:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Make the tables."""
    of_subrun = ("run", "subrun")
    op.create_table(
        "subrun_time", *map(_number, of_subrun), _number("start_time", sa.DateTime), _number("end_time", sa.DateTime),
        _number("start_gps", sa.Float), _number("end_gps", sa.Float), _number("nevents"),
        sa.PrimaryKeyConstraint(*of_subrun),
    )  # fmt: skip
    op.create_table(
        "ctagswithdqc", *map(_number, of_subrun), _number("ctags", sa.BigInteger), sa.Column("t0val", sa.Float),
        _number("fills"), sa.PrimaryKeyConstraint(*of_subrun),
    )  # fmt: skip
    op.create_table(
        "subrun_status", *map(_number, of_subrun), _number("quad_condition"), _number("kicker_condition"),
        *(_number(name, sa.Boolean) for name in _CHECKS), _number("trolley_period"), _number("field_period"),
        *(_number(name, sa.Boolean) for name in _MORE), sa.PrimaryKeyConstraint(*of_subrun),
    )  # fmt: skip
    op.create_table(
        "tracker_hv", sa.Column("id", sa.Integer, primary_key=True, autoincrement=True), _number("station"),
        sa.Column("hv_status", sa.String(64), nullable=False), *map(_number, of_subrun),
    )  # fmt: skip
    op.create_table(
        "fill_flags", *map(_number, (*of_subrun, "event", "fill_type", "flags", "ctags", "triples")),
        *(sa.Column(name, sa.Float) for name in ("kick_gauss", "quad_kv", "t0_ns")),
        sa.PrimaryKeyConstraint(*of_subrun, "event"),
    )  # fmt: skip


def downgrade() -> None:
    """Remove them."""
    for name in ("fill_flags", "tracker_hv", "subrun_status", "ctagswithdqc", "subrun_time"):
        op.drop_table(name)
