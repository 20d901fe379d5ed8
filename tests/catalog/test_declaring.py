"""Declaring files: what is the same is known, what is another file is refused, and all or nothing is kept."""

import re
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect

from gm2sim.catalog import CatalogError, FileRecord, Settings, count, declare, names, retire
from gm2sim.catalog import record as find
from gm2sim.catalog.record import checked
from gm2sim.catalog.schema import metadata

Make = Callable[..., FileRecord]
Several = Callable[..., list[FileRecord]]


def everything(engine: Engine) -> list[FileRecord]:
    with engine.connect() as connection:
        return [find(connection, name) for name in names(connection, "status in (good, bad, retired)")]


def test_a_record_is_given_back_as_it_was_declared(catalog: Engine, record: Make) -> None:
    parent = record("gm2_run15921_00000.mid", description="two\nlines ' \" \\ <b> \u202e", folders=("/data/ü", "/tape"))
    child = record("tracks.h5", tier="reco", format="hdf5", parents=(parent.name,), adler32=None, crc32c=None, run=None,
                   subrun=None, begin_time=None, end_time=None, settings=Settings(), folders=())  # fmt: skip
    assert declare(catalog, [child, parent]) == (2, 0)
    assert everything(catalog) == [child, parent]


def test_declaring_twice_changes_nothing_but_adds_new_places(catalog: Engine, record: Make) -> None:
    declare(catalog, [record(folders=())])
    assert declare(catalog, [record()]) == (0, 1)
    assert declare(catalog, [record(folders=("/tape", "/data/gm2")), record(folders=("/copy",))]) == (0, 1)
    assert declare(catalog, [record(folders=("/tape",))]) == (0, 1)
    (only,) = everything(catalog)
    assert (only.folders[0], set(only.folders)) == ("/data/gm2", {"/data/gm2", "/tape", "/copy"})


def test_another_file_of_the_same_name_is_refused_and_both_owners_are_named(catalog: Engine, record: Make) -> None:
    declare(catalog, [record()])
    for field, value in {"size": 1, "crc32c": "00000000", "sha256": "0" * 64, "tier": "reco", "subrun": 4}.items():
        other = record(campaign="gm2sim_second", owner="bob", folders=("/home/bob",), **{field: value})
        told = rf"another file \(.*{field}.*alice.*gm2sim_first.*/data/gm2.*bob.*gm2sim_second.*/home/bob"
        with pytest.raises(CatalogError, match=told):
            declare(catalog, [record("gm2_run15922_00000.mid", run=15922), other])
    assert [one.name for one in everything(catalog)] == ["gm2_run15921_00000.mid"]


def test_the_same_file_in_another_campaign_is_refused(catalog: Engine, record: Make) -> None:
    declare(catalog, [record()])
    with pytest.raises(CatalogError, match=r"gm2sim_first of 'alice' already, now in gm2sim_second of 'bob'"):
        declare(catalog, [record(campaign="gm2sim_second", owner="bob")])


def test_a_campaign_of_somebody_else_is_refused(catalog: Engine, record: Make) -> None:
    declare(catalog, [record()])
    with pytest.raises(CatalogError, match=r"'gm2sim_first' belongs to 'alice', 'bob' cannot add to it"):
        declare(catalog, [record("gm2_run15922_00000.mid", run=15922, owner="bob")])


def test_a_run_number_has_one_maker(catalog: Engine, record: Make) -> None:
    declare(catalog, [record()])
    makers: tuple[dict[str, object], ...] = (
        {"campaign": "gm2sim_second"},
        {"settings": Settings(config_hash="cd" * 32, seed=1)},
        {"settings": Settings(config_hash="ab" * 32, seed=2)},
        {"campaign": "gm2sim_third", "owner": "bob"},
    )
    for maker in makers:
        other = record("gm2_run15921_00007.mid", subrun=7, **maker)
        with pytest.raises(CatalogError, match=rf"run 15921 is declared already by 'alice'.*now by '{other.owner}'"):
            declare(catalog, [other])
        with pytest.raises(CatalogError, match="run 7 has two makers"):
            declare(catalog, [record("a.mid", run=7), record("b.mid", run=7, **maker)])
    # What others make of the run later does not take it.
    reco = other._replace(name="tracks.h5", tier="reco", campaign="gm2sim_reco", owner="carol")
    assert declare(catalog, [reco]).new == 1


def test_two_files_of_one_name_in_a_declaration_are_refused(catalog: Engine, record: Make) -> None:
    with pytest.raises(CatalogError, match=r"two different files .*'/data/gm2'.*'/other'"):
        declare(catalog, [record(), record(size=1, folders=("/other",))])


def test_parents_have_to_be_there_and_no_file_is_its_own_ancestor(catalog: Engine, record: Make) -> None:
    with pytest.raises(CatalogError, match=r"a\.h5 was made from b\.h5, which is not in the catalogue"):
        declare(catalog, [record("a.h5", parents=("b.h5",))])
    with pytest.raises(CatalogError, match="among its own ancestors"):
        declare(catalog, [record("a.h5", parents=("b.h5",)), record("b.h5", parents=("a.h5",))])
    with pytest.raises(CatalogError, match="its own parent"):
        declare(catalog, [record("a.h5", parents=("a.h5",))])
    assert everything(catalog) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"name": "gm2pro_daq_raw_run3.mid"}, "looks like a name of real data"),
        ({"name": "x_GM2-Pro_daq.mid"}, "looks like a name of real data"),
        ({"name": "../up.mid"}, "no name of a file"),
        ({"name": "a/b"}, "no name of a file"),
        ({"name": "x" * 65536}, "65536 characters"),
        ({"campaign": "gm2pro_daq_offline_dqc_run2B"}, "looks like a name of real data"),
        ({"campaign": "run2"}, "has to begin with gm2sim_"),
        ({"campaign": "gm2sim_"}, "has to begin with gm2sim_"),
        ({"owner": " "}, "has no name"),
        ({"owner": "a\0b"}, "holds a NUL"),
        ({"owner": "x" * 65536}, "65536 characters"),
        ({"tier": "Raw"}, "no word in small letters"),
        ({"sha256": "abc"}, "not 64 hexadecimal digits"),
        ({"adler32": "abc"}, "not 8 hexadecimal digits"),
        ({"crc32c": "0BADCAFE"}, "not 8 hexadecimal digits"),
        ({"size": -1}, "size '-1' is no whole number"),
        ({"size": True}, "size 'True' is no whole number"),
        ({"size": 2**63}, "no whole number"),
        ({"run": 2**31}, "no whole number"),
        ({"subrun": None}, "run and subrun go together"),
        ({"first_event": 20}, "first_event comes after last_event"),
        ({"status": "fine"}, "none of good, bad, retired"),
        ({"folders": ("data",)}, "no absolute path"),
        ({"folders": ("/data/../etc",)}, "goes up"),
        ({"description": "\ud800"}, "half a character"),
        ({"settings": Settings(seed=-1)}, "seed '-1'"),
        ({"settings": Settings(preset="p" * 300)}, "at most 255"),
    ],
)
def test_what_may_not_be_kept_is_refused_in_one_sentence(record: Make, value: dict[str, object], told: str) -> None:
    with pytest.raises(CatalogError, match=re.escape(told)) as caught:
        checked(record(**{"name": "good.mid"} | value))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_only_the_owner_retires_files_and_they_leave_the_lists(catalog: Engine, subruns: Several) -> None:
    first, second, third = subruns(range(15921, 15922))
    declare(catalog, [first, second, third])
    with pytest.raises(CatalogError, match=r"belongs to 'alice'.*'bob' cannot change it"):
        retire(catalog, [first.name], "bob")
    assert retire(catalog, [first.name, second.name, first.name], "alice") == 2
    with catalog.connect() as connection:
        assert names(connection, "run = 15921") == [third.name]
        assert names(connection, "run = 15921 and status = retired") == [first.name, second.name]
        assert count(connection, "run = 15921 or status = retired") == (3, 3 * first.size)
    assert retire(catalog, [first.name], "alice", "good") == 1
    with catalog.connect() as connection:
        assert names(connection, "run = 15921") == [first.name, third.name]
    with pytest.raises(CatalogError, match="did you mean 'bad'"):
        retire(catalog, [first.name], "alice", "bat")


def test_the_migrations_make_the_tables_that_the_program_knows(catalog: Engine) -> None:
    with catalog.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
        )
        assert compare_metadata(context, metadata) == []
    assert {index["name"] for index in inspect(catalog).get_indexes("catalog_files")} >= {
        "catalog_files_name", "catalog_files_order", "catalog_files_tier", "catalog_files_campaign",
        "catalog_files_settings",
    }  # fmt: skip
