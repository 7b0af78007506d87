"""Files are replaced at once or not at all."""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.files import (
    check_folder,
    check_output,
    file_stem,
    locked,
    make_folder,
    remove_stale,
    replacing,
    replacing_in,
    settle,
    standing,
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    path.write_text("old")
    return path


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def alone(path: Path) -> bool:
    return [entry.name for entry in path.parent.iterdir()] == [path.name]


def fail_half_way(path: Path, error: BaseException) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_the_new_file_takes_the_place_of_the_old_at_the_end(old: Path) -> None:
    with replacing(old) as temporary:
        temporary.write_text("new")
        assert temporary.parent == old.parent  # on the same disk, or the rename would copy
        assert old.read_text() == "old"
    assert old.read_text() == "new"
    assert alone(old)


def test_a_first_file_makes_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "new.bin"
    with replacing(str(path)) as temporary:
        temporary.write_bytes(b"\x00\xff")
        assert not path.exists()
    assert path.read_bytes() == b"\x00\xff"
    assert alone(path)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_in_the_block_keeps_the_old_file(old: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        fail_half_way(old, error)
    assert caught.value is error
    assert old.read_text() == "old"
    assert alone(old)


def test_an_exception_in_the_block_leaves_no_first_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "new"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read(tmp_path: Path, umask: None, mask: int, mode: int) -> None:
    os.umask(mask)
    path = tmp_path / "new"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.umask(mask) == mask


def test_an_os_error_says_what_to_check(old: Path) -> None:
    with pytest.raises(DataFileError, match=r"can't write .*table\.parquet: No space left.*untouched.*free space"):
        fail_half_way(old, OSError(28, "No space left on device"))
    assert old.read_text() == "old"
    assert alone(old)


def test_a_full_disk_keeps_the_old_file(old: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DataFileError, match="can't write"), replacing(old) as temporary:
            temporary.write_bytes(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert old.read_text() == "old"
    assert alone(old)


def test_a_folder_that_cannot_be_made(old: Path) -> None:
    with pytest.raises(DataFileError, match="can't write"), replacing(old / "below"):
        pytest.fail("there is nothing to write to")
    assert old.read_text() == "old"


def test_a_folder_of_that_name_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(InvalidInputError, match="is a folder"), replacing(tmp_path / "taken") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "taken" / "inside").is_dir()
    assert alone(tmp_path / "taken")


def test_a_temporary_file_that_vanished_is_an_error(old: Path) -> None:
    with pytest.raises(DataFileError, match="can't write"), replacing(old) as temporary:
        temporary.unlink()
    assert old.read_text() == "old"


KILLED = """
import os, signal, sys
from hwnas_surrogate.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_the_old_file(old: Path) -> None:
    child = subprocess.run([sys.executable, "-c", KILLED, str(old)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert old.read_text() == "old"
    # What a kill leaves beside it is hidden, and removed by the next one.
    (left,) = (entry for entry in old.parent.iterdir() if entry != old)
    assert left.name.startswith(".table.parquet.")
    with replacing(old) as temporary:
        temporary.write_text("new")
    assert old.read_text() == "new"
    assert alone(old)


def test_a_part_that_is_being_written_is_left_alone(old: Path) -> None:
    with replacing(old) as first:
        first.write_text("first")
        with replacing(old) as second:
            second.write_text("second")
        assert first.read_text() == "first"
        assert old.read_text() == "second"
    assert old.read_text() == "first"
    assert alone(old)


def test_parts_of_some_files_are_removed_from_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        child = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], check=False)
        assert child.returncode == -signal.SIGKILL
    others = {".mine.part", "abc.abcdefgh.part", ".hidden", ".film.download.part"}
    for other in others:
        (tmp_path / other).touch()
    with replacing(tmp_path / "c") as temporary:
        remove_stale(tmp_path, "[ab]")
        assert {path.name for path in tmp_path.iterdir()} == others | {temporary.name}


def test_parts_of_other_files_are_left_alone(tmp_path: Path) -> None:
    others = [tmp_path / ".other.csv.abc.part", tmp_path / ".table[1].csv.abc.part", tmp_path / "table1.csv"]
    for other in others:
        other.write_text("theirs")
    with replacing(tmp_path / "table1.csv") as temporary:
        temporary.write_text("new")
    assert [other.read_text() for other in others] == ["theirs", "theirs", "new"]


# -- what may be replaced ----------------------------------------------------------------------------------


def write(path: Path, text: str = "new") -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_permissions_stay(old: Path, umask: None, mode: int) -> None:
    old.chmod(mode)
    write(old)
    assert stat.S_IMODE(old.stat().st_mode) == mode
    assert old.read_text() == "new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only an administrator may give a file away")
def test_the_owner_stays(old: Path) -> None:
    os.chown(old, 1234, 2345)
    write(old)
    assert (old.stat().st_uid, old.stat().st_gid) == (1234, 2345)


def test_a_symbolic_link_stays_and_its_file_is_replaced(old: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "latest.parquet"
    link.symlink_to(Path("..") / old.name)
    write(link)
    assert link.is_symlink()
    assert old.read_text() == "new"
    assert [entry.name for entry in link.parent.iterdir()] == [link.name]


def test_a_link_to_nothing_gets_its_file(tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "first")
    write(link)
    assert (tmp_path / "first").read_text() == "new"
    assert link.is_symlink()


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "circle"
    link.symlink_to(link)
    with pytest.raises(DataFileError, match="can't write"):
        write(link)
    assert link.is_symlink()


def test_one_of_two_names_is_refused(old: Path, tmp_path: Path) -> None:
    other = tmp_path / "backup"
    other.hardlink_to(old)
    with pytest.raises(InvalidInputError, match=r"is one of 2 names of the same file \(hard links\)"):
        write(old)
    assert old.read_text() == other.read_text() == "old"


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_stays_a_device(device: str) -> None:
    before = os.stat(device)
    write(Path(device))
    after = os.stat(device)
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)
    assert not list(Path("/dev").glob(f".{Path(device).name}*"))


def test_a_full_device_is_an_error() -> None:
    with pytest.raises(DataFileError, match="can't write /dev/full: No space left"):
        write(Path("/dev/full"))
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_pipe_gets_the_content(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        write(pipe, "through")
        assert read.result(timeout=10) == "through"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_socket_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        with pytest.raises(InvalidInputError, match="is neither a file nor a pipe"):
            write(path)


@pytest.mark.parametrize("other", ["table.parquet", "link", "./a/../table.parquet"])
def test_an_input_is_not_replaced(old: Path, tmp_path: Path, other: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(old)
    with (
        pytest.raises(InvalidInputError, match="is the input as well"),
        replacing(tmp_path / other, [old]) as temporary,
    ):
        temporary.write_text("new")
    assert old.read_text() == "old"


def test_an_output_is_checked_before_the_work(old: Path, tmp_path: Path) -> None:
    check_output(tmp_path / "new.parquet", (".parquet",), [old])
    check_output(tmp_path / "new", (".parquet",))
    with pytest.raises(InvalidInputError, match=r"must end in \.parquet, which is how it is written, got 'new\.csv'"):
        check_output(tmp_path / "new.csv", (".parquet",))
    with pytest.raises(InvalidInputError, match="is the input as well"):
        check_output(old, (), [old])
    with pytest.raises(InvalidInputError, match="is a folder"):
        check_output(tmp_path)


def test_a_folder_is_checked_before_the_work(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path / "a" / "b", [tmp_path])
    with pytest.raises(InvalidInputError, match="is the input as well"):
        check_folder(tmp_path / "." / "", [tmp_path])
    for path in (old, old / "below"):
        with pytest.raises(InvalidInputError, match=r"table\.parquet is a file, and can't be a folder"):
            check_folder(path)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    for check in (check_folder, check_output):
        with pytest.raises(DataFileError, match=r"can't write .*new: Permission denied"):
            check(tmp_path / "a" / "new")


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127, "two\nlines", "[a]*?"])
def test_every_name_of_a_file_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    child = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert child.returncode == -signal.SIGKILL
    write(path)
    assert path.read_text() == "new"
    assert alone(path)


def test_stdout_is_a_stream_under_its_own_name() -> None:
    script = (
        "from hwnas_surrogate.files import replacing\nwith replacing('/dev/stdout') as file: file.write_text('through')"
    )
    child = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert child.stdout == "through"


@pytest.mark.parametrize("name", ["/dev/stdout", "log"])
def test_a_file_that_stdout_is_appended_to_is_not_replaced(tmp_path: Path, name: str) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    script = f"from hwnas_surrogate.files import check_output\ncheck_output({name!r})"
    with log.open("a") as stdout:
        command = [sys.executable, "-c", script]
        child = subprocess.run(command, check=False, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert "is the file that stdout or stderr is redirected to" in child.stderr
    assert log.read_text() == "before\n"


def test_new_folders_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))
    )
    make_folder(tmp_path / "a" / "b")
    assert synced == [str(tmp_path), str(tmp_path / "a")]


# -- several files at once ---------------------------------------------------------------------------------


def write_both(folder: Path, text: str = "new", error: BaseException | None = None) -> None:
    with replacing_in(folder) as temporary:
        (temporary / "one").write_text(text)
        if error is not None:
            raise error
        (temporary / "two").write_text(text)


def both(folder: Path) -> list[str]:
    """Return what a reader sees."""
    found = []
    for name in ("one", "two"):
        with standing(folder, name) as path:
            found.append(path.read_text())
    return found


def test_files_are_written_together(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    write_both(folder, "old")
    (folder / "mine").write_text("mine")
    (folder / "one").chmod(0o600)
    write_both(folder)
    assert both(folder) == ["new", "new"]
    assert sorted(path.name for path in folder.iterdir()) == ["mine", "one", "two"]
    assert stat.S_IMODE((folder / "one").stat().st_mode) == 0o600


def test_all_files_stay_if_one_cannot_be_written(tmp_path: Path) -> None:
    write_both(tmp_path, "old")
    for error in (ZeroDivisionError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            write_both(tmp_path, error=error)
    (tmp_path / "two").unlink()
    (tmp_path / "two").mkdir()
    with pytest.raises(InvalidInputError, match="two is a folder"):
        write_both(tmp_path)
    (tmp_path / "two").rmdir()
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(InvalidInputError, match="two is no ordinary file"):
        write_both(tmp_path)
    with pytest.raises(InvalidInputError, match="one is the input"), replacing_in(tmp_path, [tmp_path / "two"]) as here:
        (here / "one").write_text("new")
    assert both(tmp_path) == ["old", "old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_files_elsewhere_are_not_taken_for_finished_ones(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    write_both(folder, "old")
    elsewhere.mkdir()
    (elsewhere / "one").write_text("mine")
    (folder / ".together.ready").symlink_to(elsewhere)
    with pytest.raises(DataFileError, match="can't write"):
        write_both(folder)
    assert (elsewhere / "one").read_text() == "mine"
    (folder / ".together.ready").unlink()
    assert both(folder) == ["old", "old"]


def kill_at(call: int) -> str:
    """Return a script that writes two files, and is killed before a change of the folder."""
    return f"""
import os, signal, sys
from pathlib import Path
from hwnas_surrogate.files import replacing_in

calls = []
def killing(name):
    real = getattr(os, name)
    def run(*arguments, **options):
        calls.append(name)
        if len(calls) == {call}:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return run

for name in ("mkdir", "chmod", "fsync", "rename", "replace", "rmdir"):
    setattr(os, name, killing(name))
with replacing_in(sys.argv[1]) as temporary:
    (temporary / "one").write_text("new")
    (temporary / "two").write_text("new")
"""


def test_a_kill_leaves_all_old_files_or_all_new_ones(tmp_path: Path) -> None:
    seen = []
    for call in range(1, 20):
        folder = tmp_path / str(call)
        write_both(folder, "old")
        child = subprocess.run([sys.executable, "-c", kill_at(call), str(folder)], check=False)
        if not child.returncode:
            break
        assert child.returncode == -signal.SIGKILL
        seen.append(both(folder))
        write_both(folder, "next")
        assert both(folder) == ["next", "next"]
        assert sorted(path.name for path in folder.iterdir()) == ["one", "two"]
    assert seen == sorted(seen, reverse=True)
    assert {tuple(texts) for texts in seen} == {("old", "old"), ("new", "new")}


def test_what_a_kill_left_is_settled(tmp_path: Path) -> None:
    for call, left in ((3, []), (10, ["one", "two"])):
        subprocess.run([sys.executable, "-c", kill_at(call), str(tmp_path)], check=False)
        assert [path for path in tmp_path.iterdir() if path.name.startswith(".together.")]
        settle(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == left
    settle(tmp_path / "nothing")


# -- locks -------------------------------------------------------------------------------------------------

HOLDS = """
import sys, time
from pathlib import Path
from hwnas_surrogate.files import locked
with locked(Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held_elsewhere(folder: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDS, str(folder), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


@pytest.mark.parametrize(
    ("theirs", "mine", "waits"),
    [("alone", "alone", True), ("alone", "shared", True), ("shared", "alone", True), ("shared", "shared", False)],
)
def test_a_folder_is_held_alone_or_shared(tmp_path: Path, theirs: str, mine: str, waits: bool) -> None:
    def take() -> None:
        with locked(tmp_path, shared=mine == "shared"):
            pass

    with held_elsewhere(tmp_path, theirs) as child, ThreadPoolExecutor(1) as pool:
        taken = pool.submit(take)
        if waits:
            with pytest.raises(TimeoutError):
                taken.result(timeout=0.3)
            child.kill()  # a lock ends with its process
        taken.result(timeout=10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["raspi4-latency", "a.b_c-1", "a" * 120])
def test_plain_names_are_kept(name: str) -> None:
    assert file_stem(name) == name


def test_other_names_are_made_fit_for_files_and_stay_apart() -> None:
    names = ["my board", "my_board!", "my/board", "..\\board", "a\nb", "\ud800", *("a" * n for n in (121, 300, 301))]
    names += ["中" * 100, "中" * 101, "🙂" * 90, "ü-latency", "é-latency"]
    stems = [file_stem(name) for name in names]
    assert len(set(stems)) == len(stems)
    for stem in stems:
        assert len(stem) <= 120
        assert stem.isascii()
        assert not set(stem) & set("/\\\n !")


def test_hidden_files_of_others_stay(tmp_path: Path) -> None:
    """Only names that a temporary file can have are removed as left by a kill."""
    kept = [tmp_path / name for name in (".x.csv.original.part", ".x.csv.part", ".y.csv.abcd1234.hwnas.part")]
    left = tmp_path / ".x.csv.abcd1234.hwnas.part"
    for path in (*kept, left):
        path.touch()
    with replacing(tmp_path / "x.csv") as temporary:
        temporary.write_text("new", encoding="utf-8")
    assert all(path.exists() for path in kept)
    assert not left.exists()


def test_a_path_with_a_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="has no NUL character"), replacing(f"{tmp_path}/a\0b"):
        pass
