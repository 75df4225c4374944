"""The sum of rank + 1 over all ranks with MPI_Allreduce, called in Open MPI's own library: no mpi4py needed."""

import ctypes
import ctypes.util
import os
import pathlib


def library():
    """Return Open MPI's library, whose handles are addresses of the symbols named ompi_mpi_…; None without one."""
    for name in (ctypes.util.find_library("mpi"), "libmpi.so.40", "libmpi.so"):
        try:
            found = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL) if name else None
            if found is not None and hasattr(found, "ompi_mpi_comm_world"):
                return found
        except OSError:
            continue
    return None


def allreduce(mpi, number):
    def handle(name):
        return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(mpi, name)))

    mine, total = ctypes.c_int(number), ctypes.c_int(0)
    world = handle("ompi_mpi_comm_world")
    mpi.MPI_Init(None, None)
    rank, size = ctypes.c_int(), ctypes.c_int()
    mpi.MPI_Comm_rank(world, ctypes.byref(rank))
    mpi.MPI_Comm_size(world, ctypes.byref(size))
    integer, plus = handle("ompi_mpi_int"), handle("ompi_mpi_op_sum")
    mpi.MPI_Allreduce(ctypes.byref(mine), ctypes.byref(total), 1, integer, plus, world)
    mpi.MPI_Finalize()
    return rank.value, size.value, total.value


def main():
    told = int(os.environ["OMPI_COMM_WORLD_RANK"]), int(os.environ["OMPI_COMM_WORLD_SIZE"])
    mpi = library()
    if mpi is None:
        print("no libmpi here, so nothing is added up: what mpirun said is all there is to show")
        rank, world, total = *told, None
    else:
        rank, world, total = allreduce(mpi, told[0] + 1)
    expected = world * (world + 1) // 2
    local, node = os.environ["LOCAL_RANK"], os.environ["NODE_RANK"]
    print(f"rank {rank} of {world} (node {node}, local rank {local}): sum {total}, expected {expected}")
    if rank == 0 and total is not None:
        pathlib.Path("outputs").mkdir(exist_ok=True)
        pathlib.Path("outputs/sum.txt").write_text(f"{total}\n")
    return (rank, world) != told or total not in (None, expected)


if __name__ == "__main__":
    raise SystemExit(main())
