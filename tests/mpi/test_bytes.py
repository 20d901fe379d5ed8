"""The same bytes however the work is cut, and nothing that grows; each has a script that tries more."""

from tests.mpi.growth import grown
from tests.mpi.planted import KINDS, plant_all
from tests.mpi.restart import all_cells, differing
from tests.mpi.splits import checksums


def test_every_cell_of_the_restart_matrix_ends_with_the_same_bytes(tmp_path):
    cells = all_cells()
    assert len(set(cells)) == 60
    assert not differing(tmp_path, cells)


def test_one_run_has_one_checksum_however_it_is_split(tmp_path):
    tried, found = checksums(tmp_path, 36)
    assert tried == 36
    assert len(found) == 1


def test_memory_and_descriptors_do_not_grow_with_the_fills(tmp_path):
    found = grown(tmp_path, 100, bare=True)
    # 1 kB a fill is 2 MB in 2000; the allocator's steps are wider than that in so few fills.
    assert found.slope < 1.0 + 4 * found.error
    assert found.descriptors == 0
    assert found.threads <= 0


def test_planted_files_are_all_found_and_no_good_one_is_lost(tmp_path):
    counted = plant_all(tmp_path, 300, mended=len(KINDS))
    assert counted == {"tried": 300, "kept": 0, "lost": 0, "mended": 6, "differ": 0}
