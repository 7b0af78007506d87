"""Workers of a real dask cluster as boards: they share networks, some die, and what is wrong is one clear error."""

from __future__ import annotations

import asyncio
import io
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.jobs import cluster
from hwnas_surrogate.measure import Fleet, Protocol, measure
from hwnas_surrogate.measure.boards import Board, device_workers, lease, timer, worker
from hwnas_surrogate.runner import timing
from hwnas_surrogate.spaces import NASBench201Config
from tests.jobs.work import leave, owning, where
from tests.measure.boards.test_fleet import in_second_block
from tests.measure.fake_board import FakeBoard, Scripted

dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:.*event loop.*:DeprecationWarning")

TINY = NASBench201Config(C=4, N=1, height=8, width=8)
QUICK = Protocol(passes=1, repeats=2, max_repeats=2, half_width=9.0)
SLOW = Scripted(deeds=(("*", "slow"),))


def started(n_workers: int, **how: Any) -> Any:
    given = {"threads_per_worker": 1, "resources": {"device": 1}, **how}
    return distributed.LocalCluster(n_workers=n_workers, dashboard_address="127.0.0.1:0", silence_logs=50, **given)


@contextmanager
def racked(folder: Path) -> Iterator[str]:
    """Return the address of two workers, processes with dask's nannies, that import the fake runtime."""
    path = os.pathsep.join([str(FakeBoard(folder).folder), os.getcwd()])
    soon = dask.config.set({"distributed.comm.timeouts.connect": "3s"})  # to a worker that was killed: 30 s otherwise
    with soon, started(2, env={"PYTHONPATH": path}) as running:
        yield running.scheduler_address


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Return a function that starts workers in this process, which own one GPU, and returns their address."""
    fake = FakeBoard(tmp_path / "fake")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(fake.folder), *sys.path]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{os.getpid()}-here")
    clusters = []

    def start(n_workers: int = 1, **how: Any) -> str:
        clusters.append(started(n_workers, processes=False, protocol="tcp", **how))
        return str(clusters[-1].scheduler_address)

    yield start
    for one in clusters:
        one.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "BLOCK", 2)
    monkeypatch.setattr(lease, "COLLECT", 0.02)
    monkeypatch.setattr(cluster, "_PATIENCE", 5)


def measured(output: Path, boards: list[Board], networks: range) -> CostTable:
    fleet = Fleet("rack", boards)
    return measure("nasbench201", networks, output, TINY, runtime=SLOW, protocol=QUICK, board=fleet)


@contextmanager
def killing(address: str, output: Path, name: str, *, comes_back: bool = True) -> Iterator[None]:
    """Kill the process of a worker when it is in its second block; its nanny may start another."""
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        pids = {
            str(facts["name"]): client.run(owning, f"{os.getpid()}-{facts['name']}", workers=[place])[place]
            for place, facts in workers.items()
        }
        if not comes_back:
            client.run(leave, workers=list(workers), nanny=True)
    journal = Path(f"{output}.journals", f"{name}.journal")
    killer = threading.Thread(target=in_second_block, args=(journal, lambda: os.kill(pids[name], signal.SIGKILL)))
    killer.start()
    yield
    killer.join()


@pytest.mark.slow
class TestKilled:
    def test_the_other_worker_takes_its_share(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(timer, "PATIENCE", 0.0)
        output = tmp_path / "rack.parquet"
        with (
            racked(tmp_path / "fake") as rack,
            killing(rack, output, "0", comes_back=False),  # else it may be back before its loss is noticed
            device_workers(rack) as workers,
        ):
            table = measured(output, workers, range(14))
        assert [str(target) for target in table.targets] == ["rack-scripted-1t/latency"]
        assert np.isfinite(table.costs).all()
        told = table.meta["fleet"]["boards"]
        assert told["0"]["dropped"].startswith(f"lost the connection to board 0 (a worker of {rack}): it ended.")
        assert told["1"]["dropped"] == ""
        assert {"0", "1"} <= set(table.groups["board"])
        assert load_table(output).meta == table.meta

    def test_one_that_comes_back_goes_on(self, tmp_path: Path) -> None:
        output = tmp_path / "rack.parquet"
        with (
            racked(tmp_path / "fake") as rack,
            killing(rack, output, "1"),
            device_workers(rack) as workers,
        ):
            table = measured(output, [board for board in workers if board.name == "1"], range(6))
        assert np.isfinite(table.costs).all()
        [told] = table.meta["fleet"]["boards"].values()
        assert (told["dropped"], told["networks"]) == ("", 6)


class TestOneWorker:
    def test_programs_and_files(self, here: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "sent").mkdir()
        (tmp_path / "sent" / "model").write_bytes(b"numbers")
        with device_workers(here()) as [board], io.BytesIO() as messages:
            with pytest.raises(MeasurementError, match="it is not connected; call check"):
                _ = board.folder
            facts = board.check()
            assert (facts.host, facts.others) == (platform.node(), 0)
            assert board.python == sys.executable
            board.push([tmp_path / "sent"], f"{board.folder}/new")
            assert Path(board.folder, "new", "sent", "model").read_bytes() == b"numbers"
            with pytest.raises(MeasurementError, match="File exists"):
                board.push([tmp_path / "sent"], f"{board.folder}/new")
            board.remove(f"{board.folder}/new")
            board.remove(f"{board.folder}/new")
            assert os.listdir(board.folder) == []
            done = board.run(["cat"], 10.0, b"text")
            assert (done.returncode, done.stdout) == (0, b"text")
            with pytest.raises(MeasurementError, match=r"took longer than 0\.1 s and was ended"):
                board.run(["sleep", "9"], 0.1)
            program = board.start(["sh", "-c", "while read l; do echo got $l; done; echo end >&2; exit 3"], messages)
            assert program.stdin is not None
            assert program.stdout is not None
            program.stdin.write(b"one\n")
            program.stdin.flush()
            assert program.stdout.readline() == b"got one\n"
            program.kill()
            assert program.stdout.read() == b""
            assert (program.wait(), messages.getvalue()) == (3, b"end\n")
            assert board.lost(3) is None
            folder = board.folder
            board.close()
            assert board.lost(255) == f"board {board} is not connected any more"
        wait_until(lambda: not os.path.exists(folder))

    def test_its_device_is_leased_to_one(self, here: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
        address = here()
        with device_workers(address) as [one], device_workers(address) as [other]:
            one.check()
            with monkeypatch.context() as impatient:
                impatient.setattr(worker, "START", 0.2)
                with pytest.raises(
                    MeasurementError, match=r"can't use board 0 \(a worker of .*\): it has been busy for"
                ):
                    other.check()
            one.close()
            assert other.check().system == platform.system()

    def test_a_lease_that_was_given_back_before_it_began(self) -> None:
        assert asyncio.run(lease.call("early", "give_back")) == {}
        assert asyncio.run(asyncio.wait_for(lease.hold("early"), 5)) is None
        assert asyncio.run(lease.call("early", "is_held")) == {"answer": False}

    def test_other_work_of_the_cluster_waits(self, here: Callable[..., str]) -> None:
        address = here()
        with device_workers(address) as [board], distributed.Client(address, set_as_default=False) as client:
            board.check()
            work = client.submit(where)
            time.sleep(0.3)
            assert not work.done()
            board.close()
            assert work.result(timeout=20)

    def test_workers_that_share_a_device(self, here: Callable[..., str], tmp_path: Path) -> None:
        with device_workers(here(2)) as workers, pytest.raises(MeasurementError) as error:
            measured(tmp_path / "rack.parquet", workers, range(2))
        assert "1 of 2 boards of fleet rack can't be used." in str(error.value)
        assert f"another measurement uses gpu {os.getpid()}-here of its machine, {platform.node()}:" in str(error.value)

    def test_two_machines_of_one_name(
        self, here: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address, output = here(), tmp_path / "rack.parquet"
        with device_workers(address) as workers:
            first = measured(output, workers, range(2))
        monkeypatch.setattr(platform, "node", lambda: "another")
        with device_workers(address) as workers, pytest.raises(MeasurementError) as error:
            measured(output, workers, range(3))
        assert str(error.value).startswith("two machines have the name '0': 0 (a worker of tcp://")
        assert "is host 'another', but " in str(error.value)
        assert "Give it a name of its own, dask worker --name NAME, or choose another output." in str(error.value)
        kept = load_table(output)
        assert isinstance(kept, CostTable)
        assert np.array_equal(kept.costs, first.costs)

    def test_a_scheduler_that_goes_away(
        self, here: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(timer, "PATIENCE", 0.0)
        output = tmp_path / "rack.parquet"
        with started(1, processes=False, protocol="tcp") as running:
            here()  # its environment
            journal = Path(f"{output}.journals", "0.journal")
            closer = threading.Thread(target=in_second_block, args=(journal, running.close))
            closer.start()
            with device_workers(running.scheduler_address) as workers, pytest.raises(MeasurementError) as error:
                measured(output, workers, range(8))
            closer.join()
        assert "all boards of fleet rack dropped out. 0: lost the connection to board 0 (a worker" in str(error.value)
        assert str(error.value).endswith(f"is kept in {output}.journals: run the same command again to go on.")
        with device_workers(here()) as workers:
            assert np.isfinite(measured(output, workers, range(8)).costs).all()

    def test_a_scheduler_that_is_gone(self, here: Callable[..., str]) -> None:
        with started(1, processes=False, protocol="tcp") as running:
            here()
            with device_workers(running.scheduler_address) as [board]:
                board.check()
                folder = board.folder
                running.close()
                with pytest.raises(MeasurementError, match="lost the connection to board 0"):
                    board.run(["true"], 10.0)
                with pytest.raises(MeasurementError, match=r"can't use board 0 .*: the cluster's scheduler is gone\."):
                    board.check()
        assert not os.path.exists(folder)


class TestRefused:
    def test_a_cluster_without_devices(self, here: Callable[..., str]) -> None:
        address = here(resources={})
        with pytest.raises(InvalidInputError) as error, device_workers(address):
            pass
        assert str(error.value) == (
            f"no worker of the cluster at {address} owns a device: start each with `dask worker {address} --nthreads 1 "
            "--name NAME --resources device=1`."
        )

    def test_a_worker_without_a_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        facts = {"name": "tcp://10.0.0.6:1", "resources": {"device": 1}, "status": "running"}
        client = SimpleNamespace(scheduler_info=lambda n_workers: {"workers": {"tcp://10.0.0.6:1": facts}})

        @contextmanager
        def connected(address: str) -> Iterator[Any]:
            yield client

        monkeypatch.setattr(cluster, "connected", connected)
        with (
            pytest.raises(
                InvalidInputError, match=r"tcp://10\.0\.0\.6:1 has no name, under .*: start it with --name N"
            ),
            device_workers("tcp://10.0.0.5:8786"),
        ):
            pass

    def test_workers_of_another_version(self, here: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
        address = here()
        versions = iter(["0.0.9+abcdef", "0.1.0+123456"])
        monkeypatch.setattr(cluster, "source_version", lambda: next(versions))
        with pytest.raises(InvalidInputError, match="runs another version of hwnas-surr"), device_workers(address):
            pass

    def test_a_local_cluster(self) -> None:
        with pytest.raises(InvalidInputError, match="local:2 share this machine"), device_workers("local:2"):
            pass


class TestLease:
    @pytest.fixture(autouse=True)
    def alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lease, "_local_directory", lambda: str(tmp_path))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{os.getpid()}-lease")

    def test_it_ends_when_nobody_calls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lease, "SILENCE", 0.3)
        pids: list[int] = []

        async def work() -> None:
            held = asyncio.create_task(lease.hold("a"))
            await asyncio.sleep(0)
            [folder] = (tmp_path / "hwnas-device").iterdir()
            started = await lease.call("a", "start", ["sh", "-c", "echo $$; exec cat"])
            said = await lease.call("a", "read", started["answer"], 5.0)
            pids.append(int(said["answer"][0]))
            await held
            assert not folder.exists()
            assert await lease.call("a", "facts") == {}
            assert await lease.call("a", "is_held") == {"answer": False}
            await asyncio.wait_for(asyncio.gather(lease.hold("b"), lease.call("b", "give_back")), 5)  # not locked

        asyncio.run(work())
        with pytest.raises(ProcessLookupError):
            os.kill(pids[0], 0)

    def test_its_device_is_free_if_it_can_not_make_its_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        with monkeypatch.context() as full:
            full.setattr(lease, "_local_directory", lambda: str(tmp_path / "file"))
            with pytest.raises(NotADirectoryError) as kept:  # the error holds what it was raised in
                lease._Lease()
        lease._Lease().close()
        assert kept.value.filename

    def test_a_worker_with_many_files_reads_its_programs(self) -> None:
        """``select.select`` takes no numbers from 1024 on, which looked like the end of a program."""
        resource = pytest.importorskip("resource")
        one = lease._Lease()
        number = one.start(["sh", "-c", "echo here; read line; echo $line"])
        process, _ = one._programs[number]
        assert process.stdout is not None
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
        try:
            high = os.dup2(process.stdout.fileno(), 1500)
            process.stdout.close()
            process.stdout = os.fdopen(high, "rb")
            assert one.read(number, 10.0) == (b"here\n", False)
            assert one.read(number, 0.01) == (b"", False)
            one.write(number, b"there\n")
            assert one.read(number, 10.0) == (b"there\n", False)
            assert one.read(number, 10.0) == (b"", True)
        finally:
            one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert one.read(number, 0.0) == (b"", True)  # it was closed
        one.write(number, b"nobody")

    def test_programs_have_no_variables_of_dask(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        found = lease._environment()
        assert "MALLOC_TRIM_THRESHOLD_" not in found
        assert found["OMP_NUM_THREADS"] == "3"  # the user's own

    def test_cores_belong_to_a_worker_without_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 1}, raising=False)
        assert lease._owned() == ["core 1", "core 3"]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # hides all GPUs
        assert lease._owned() == ["core 1", "core 3"]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 2")
        assert lease._owned() == ["gpu 0", "gpu 2"]


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)
