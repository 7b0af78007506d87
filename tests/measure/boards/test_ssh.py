"""Boards over SSH, against a real server on the loopback interface."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.measure.boards import Board, parse_board, ssh
from tests.measure.sshd import Sshd, make_key, quoted, running

SOON = 10.0
"""Maximum seconds for what should happen at once."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("server")) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def shell_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Run a server whose login shell is the program that the file ``shell`` names."""
    folder = tmp_path_factory.mktemp("shells")
    (folder / "shell").write_text("/bin/sh")
    with running(folder, f'ForceCommand exec "$(cat {folder}/shell)" -c "$SSH_ORIGINAL_COMMAND"') as running_server:
        yield running_server


@pytest.fixture(scope="module")
def shared(server: Sshd) -> Iterator[Board]:
    with parse_board(server.url()) as board:
        yield board


@pytest.fixture
def board(shared: Board) -> Board:
    """Return a board that is connected; the connection is that of the test before, unless it is lost."""
    try:
        shared.run(["true"], SOON)
    except MeasurementError:
        shared.check()
    return shared


@pytest.fixture
def known(server: Sshd) -> Iterator[Path]:
    """Return the file of known hosts, and restore it afterwards."""
    yield server.folder / "known_hosts"
    server.know(server.folder / "host.pub")


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)


def work_folders(server: Sshd) -> list[Path]:
    return [path for path in (server.home / ".cache/hwnas-runner").glob("*") if path.is_dir()]


def script(path: Path, *lines: str) -> str:
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)
    return str(path)


def failure(url: str) -> str:
    """Return why a board can't be used."""
    with parse_board(url) as board, pytest.raises(MeasurementError) as error:
        board.check()
    return str(error.value)


# -- what a board offers


def test_the_facts(server, board):
    facts = board.check()
    assert (facts.machine, facts.system) == (os.uname().machine, os.uname().sysname)
    assert facts.python == ".".join(map(str, sys.version_info[:3]))
    assert facts.numpy
    assert facts.free > ssh.LEAST_FREE
    assert board.folder.startswith(f"{server.home}/.cache/hwnas-runner/")
    assert Path(board.folder).stat().st_mode & 0o777 == 0o700


def test_the_work_folder_lives_as_long_as_the_connection(server, board):
    folder = Path(board.folder)
    (folder / "file").touch()
    board.close()
    board.close()
    wait(lambda: not folder.exists())


def test_what_a_lost_connection_left_is_removed(server, board):
    left = server.home / ".cache/hwnas-runner" / "0123456789abcdef"
    (left / "models").mkdir(parents=True)
    with parse_board(server.url()) as other:
        other.check()
        assert not left.exists()
        assert (other.check().others, board.check().others) == (1, 1)
        assert Path(other.folder).exists()
        assert Path(board.folder).exists()


@pytest.mark.parametrize("place", ["board", "{user}@127.0.0.1:{port}"])
def test_an_alias_and_an_address(server, place):
    config = server.config.read_text().replace("Host board", "Host board 127.0.0.1")
    own = server.folder / "own"
    own.write_text(config.replace(f"  Port {server.port}\n", "") if "{" in place else config)
    user = server.config.read_text().partition("User ")[2].split()[0]
    with parse_board(server.url(place.format(user=user, port=server.port), config=str(own))) as board:
        assert board.check().system


def test_a_command_with_input_and_an_exit_status(board):
    done = board.run(["sh", "-c", "cat; echo problem >&2; exit 3"], SOON, b"input")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"input", b"problem\n")


def test_a_command_that_takes_too_long(board):
    begin = time.monotonic()
    with pytest.raises(MeasurementError, match=r"can't use board ssh://board: a command took longer than 0.2 s"):
        board.run(["sleep", "30"], 0.2)
    assert time.monotonic() - begin < SOON
    assert board.run(["true"], SOON).returncode == 0


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "fish", "csh", "tcsh"])
def test_login_shells(shell_server, shell):
    server, path = shell_server, shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell} here")
    words = ["a b", "'", '"', "$HOME", "`id`", "$(id)", "*", "~", ";", "&", "|", "(", "#", "{a,b}", "^", "a=b", "é"]
    (server.folder / "shell").write_text(path)
    with parse_board(server.url()) as board:
        board.check()
        code = "import sys; print(*map(ascii, sys.argv[1:]))"
        done = board.run([sys.executable, "-c", code, *words], SOON)
    assert done.stdout.decode().strip() == " ".join(map(ascii, words))


def test_a_program_that_answers_line_by_line(board, tmp_path):
    with (tmp_path / "messages").open("w+b") as messages:
        process = board.start(["sh", "-c", "while read line; do echo got $line; done; echo end >&2"], messages)
        for word in (b"one", b"two"):
            process.stdin.write(word + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"got " + word + b"\n"
        process.stdin.close()
        assert process.wait(SOON) == 0
        process.stdout.close()
        assert board.lost(0) is None
    assert (tmp_path / "messages").read_text() == "end\n"


@pytest.mark.parametrize("end", ["exit 1", "exit 255", "kill -9 $$", "kill -15 $$"])
def test_the_end_of_a_program_is_no_lost_connection(board, tmp_path, end, monkeypatch):
    monkeypatch.setattr(ssh, "SETTLE", 0.2)
    done = board.run(["sh", "-c", end], SOON)
    assert done.returncode
    assert board.lost(done.returncode) is None


@pytest.mark.parametrize("folder", ["/tmp/{}", "{}/a%b", "{}/" + "long" * 30])
def test_folders_for_temporary_files_here(server, tmp_path, monkeypatch, folder):
    place = Path(folder.format(tmp_path.name if folder.startswith("/tmp") else tmp_path))
    place.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr("tempfile.tempdir", str(place))
    with parse_board(server.url()) as board:
        board.check()
        assert board.run(["true"], SOON).returncode == 0
    assert list(place.iterdir()) == []
    if folder.startswith("/tmp"):
        place.rmdir()


# -- copying


def test_files_and_folders_are_copied(board, tmp_path):
    contents = {"net/model.onnx": os.urandom(3 << 20), "net/inner/x": b"", "$(touch y) -rf\nü.bin": b"2", "-r": b"3"}
    for name, content in contents.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    to = f"{board.folder}/copied/0"
    board.push(sorted(tmp_path.iterdir()), to)
    copied = {path.relative_to(to).as_posix(): path.read_bytes() for path in Path(to).rglob("*") if path.is_file()}
    assert copied == contents
    board.remove(to)
    board.remove(to)
    assert Path(to).parent.exists()
    assert not Path(to).exists()


def test_a_folder_that_exists_is_kept(board, tmp_path):
    file = tmp_path / "x"
    file.write_text("old")
    to = f"{board.folder}/kept"
    board.push([file], to)
    file.write_text("new")
    with pytest.raises(MeasurementError, match=r"File exists: .*/kept"):
        board.push([file], to)
    assert Path(to, "x").read_text() == "old"


def test_folders_elsewhere_are_refused(board, tmp_path):
    with pytest.raises(InvalidInputError, match="must be inside"):
        board.push([tmp_path], "/tmp/elsewhere")
    with pytest.raises(InvalidInputError, match="must be inside"):
        board.remove(board.folder)


def test_files_of_one_name_are_refused(board, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").touch()
    with pytest.raises(InvalidInputError, match="must differ in their last names"):
        board.push([tmp_path / "a/x", tmp_path / "b/x"], f"{board.folder}/batch")


# -- boards that can't be used


def test_an_unknown_host(server):
    why = failure(server.url("no-such-board.invalid"))
    assert why.startswith("can't use board ssh://no-such-board.invalid: its name is unknown here")


def test_a_refused_connection(server):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "it refused the connection: check that it runs an SSH server" in failure(server.url(f"127.0.0.1:{port}"))


def test_a_server_of_another_kind(server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = threading.Thread(target=lambda: other.accept()[0].close())
        thread.start()
        why = failure(server.url(f"127.0.0.1:{other.getsockname()[1]}"))
        thread.join()
    assert "what answers at that port is no SSH server" in why


def test_a_board_that_does_not_answer(server, monkeypatch):
    monkeypatch.setattr(ssh, "CONNECT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        why = failure(server.url(f"127.0.0.1:{silent.getsockname()[1]}"))
    assert "it does not answer: check that it is switched on" in why


def test_an_unknown_host_key(server, known):
    known.write_text("")
    why = failure(server.url())
    assert "its host key is not known here, and is never accepted unseen: connect once by hand with `ssh -F" in why
    assert known.read_text() == ""


def test_a_host_key_that_changed(server, known, tmp_path):
    make_key(tmp_path / "other")
    server.know(tmp_path / "other.pub")
    before = known.read_text()
    why = failure(server.url())
    assert "its host key has changed" in why
    assert f"`ssh-keygen -f {known} -R '[127.0.0.1]:{server.port}'`" in why
    assert known.read_text() == before


def test_a_config_that_accepts_every_key_does_not_count(server, known, tmp_path):
    known.write_text("")
    config = tmp_path / "config"
    config.write_text(f"StrictHostKeyChecking no\n{server.config.read_text()}")
    assert "its host key is not known here" in failure(server.url(config=str(config)))


def test_a_key_that_the_board_does_not_know(server, tmp_path):
    make_key(tmp_path / "other")
    config = tmp_path / "config"
    config.write_text(server.config.read_text().replace(quoted(server.folder / "user"), quoted(tmp_path / "other")))
    why = failure(server.url(config=str(config)))
    assert f"it refused the login: install your key there with `ssh-copy-id -F {config} board`" in why


@pytest.mark.parametrize("text", [None, "Hots board\n"], ids=["absent", "wrong"])
def test_a_config_that_ssh_can_t_read(server, tmp_path, text):
    config = tmp_path / "config"
    if text is not None:
        config.write_text(text)
    assert f"ssh can't use its config file: {'' if text else 'Can'}" in failure(server.url(config=str(config)))


def test_no_ssh_here(server, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no ssh here; install it" in failure(server.url())


def test_no_python_there(server, tmp_path):
    why = failure(server.url(python=str(tmp_path / "python3")))
    assert f"it has no Python that is called '{tmp_path}/python3'" in why
    assert "?python=/path/to/python" in why
    assert "it has no Python that is called" in failure(server.url(python="no-such-python"))


def test_a_python_in_the_home_folder(tmp_path):
    # Commands begin in the home folder of the user, which is not the one that the server's other tests see.
    with running(tmp_path, f'ForceCommand cd {tmp_path}/home; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"') as server:
        script(server.home / "python", f'exec {sys.executable} "$@"')
        with parse_board(server.url(python="~/python")) as board:
            board.check()
            assert board.run([board.python, "-c", "print(1)"], SOON).stdout == b"1\n"


def test_an_old_python_there(server, tmp_path):
    # The real one's answer to the real question, with another version.
    code = "import sys; sys.version_info = (3, 8, 1); exec(sys.argv[1])"
    python = script(tmp_path / "python", f'exec {sys.executable} -c "{code}" "$2"')
    why = failure(server.url(python=python))
    assert f"its Python 3.8 is too old ({python}); 3.9 is the oldest that works" in why


def test_a_python_without_numpy(server, tmp_path):
    before = work_folders(server)
    python = script(tmp_path / "python", f'exec {sys.executable} -I -S "$@"')
    why = failure(server.url(python=python))
    assert f"({python}) can't import numpy: No module named 'numpy'" in why
    assert work_folders(server) == before


@pytest.mark.parametrize("message", ["Illegal instruction", "", "The time is too old"])
def test_a_python_that_fails(server, tmp_path, message):
    python = script(tmp_path / "python", f"echo {message} >&2", "exit 132")
    why = failure(server.url(python=python))
    assert f"ended with exit status 132 without an answer: {message or 'no message'}." in why


def test_a_login_shell_that_prints(tmp_path):
    noisy = 'ForceCommand echo Welcome; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
    with running(tmp_path, noisy) as server:
        assert "its login shell prints 'Welcome' before each command; make ~/.bashrc" in failure(server.url())


def test_a_folder_that_can_t_be_written(server):
    why = failure(server.url(folder="/dev/null"))
    assert "it can't write /dev/null/hwnas-runner: Not a directory; name another folder with ?folder=" in why


def test_a_read_only_folder(server, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    why = failure(server.url(folder=str(small_disk)))
    assert f"it can't write {small_disk}/hwnas-runner: Read-only file system; name another folder with ?folder=" in why


# -- full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with room for 24 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_becomes_full_keeps_nothing_of_a_copy(server, small_disk, tmp_path):
    with parse_board(server.url(folder=str(small_disk))) as board:
        assert board.check().free <= 24 << 20
        for name, size in (("small", 1 << 20), ("large", 30 << 20)):
            with (tmp_path / name).open("wb") as file:
                file.truncate(size)
        to = f"{board.folder}/batch"
        with pytest.raises(MeasurementError, match=r"it has no space left for .*\(32\.5 MB to copy\); free some"):
            board.push([tmp_path / "small", tmp_path / "large"], to)
        assert list(Path(board.folder).iterdir()) == []
        board.push([tmp_path / "small"], to)
        assert Path(to, "small").stat().st_size == 1 << 20


def test_a_full_disk(server, small_disk):
    (small_disk / "file").write_bytes(bytes(20 << 20))
    why = failure(server.url(folder=str(small_disk)))
    assert f"it has no space left for {small_disk}/hwnas-runner/" in why
    assert "(4 MB are free)" in why


# -- lost connections


def test_a_connection_cut_during_a_copy(server, board, tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 30)
    work = Path(board.folder)

    def cut() -> None:
        wait((work / "batch.part").exists)
        server.sessions(signal.SIGKILL)

    thread = threading.Thread(target=cut)
    thread.start()
    with pytest.raises(MeasurementError, match="lost the connection to board ssh://board: it closed the connection"):
        board.push([tmp_path / "large"], f"{work}/batch")
    thread.join()
    wait(lambda: not work.exists())
    with pytest.raises(MeasurementError, match="lost the connection to board ssh://board"):
        board.run(["true"], SOON)
    board.check()
    assert board.folder != str(work)
    assert board.run(["true"], SOON).returncode == 0


def test_a_connection_cut_during_a_command(server, board, tmp_path):
    threading.Timer(0.2, server.sessions, [signal.SIGKILL]).start()
    with pytest.raises(MeasurementError, match="lost the connection to board ssh://board: it closed the connection"):
        board.run(["sleep", "30"], SOON)


@pytest.mark.parametrize("where", ["there", "here"])
def test_a_connection_cut_during_a_program(server, board, tmp_path, where):
    with (tmp_path / "messages").open("w+b") as messages:
        process = board.start(["sh", "-c", "echo ready; cat; echo end > $0", f"{server.home}/ended-{where}"], messages)
        assert process.stdout.readline() == b"ready\n"
        if where == "there":
            server.sessions(signal.SIGKILL)
        else:
            board._connection._process.kill()
        assert process.stdout.read() == b""
        code = process.wait(SOON)
        process.stdin.close()
        process.stdout.close()
    why = board.lost(code) or ""
    assert why.startswith("lost the connection to board ssh://board: ")
    assert where == "here" or "it closed the connection" in why
    wait((server.home / f"ended-{where}").exists)


def test_a_dead_link_is_noticed(server, monkeypatch):
    monkeypatch.setattr(ssh, "ALIVE", 1)
    monkeypatch.setattr(ssh, "QUESTIONS", 2)
    with parse_board(server.url()) as board:
        board.check()
        server.sessions(signal.SIGSTOP)
        try:
            with pytest.raises(MeasurementError, match="it does not answer any more"):
                board.run(["true"], 30)
        finally:
            server.sessions(signal.SIGCONT)


def test_a_board_that_was_switched_off(tmp_path):
    with running(tmp_path) as server, parse_board(server.url()) as board:
        board.check()
        server.stop()
        with pytest.raises(MeasurementError, match="lost the connection"):
            board.run(["true"], SOON)
        with pytest.raises(MeasurementError, match="it refused the connection"):
            board.check()
        board.close()
        assert board.lost(255) == "board ssh://board is not connected any more"


def test_too_many_commands_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(ssh, "SETTLE", 0.1)
    with running(tmp_path, "MaxSessions 1") as server:
        assert "it allows no more commands at once: see MaxSessions" in failure(server.url())


def test_nothing_is_left_if_this_process_is_killed(server, tmp_path):
    code = (
        "import sys, time; from hwnas_surrogate.measure.boards import parse_board; board = parse_board(sys.argv[1]); "
        "board.check(); print(board.folder, board._connection._process.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, server.url()]
    here = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=here) as process:
        folder, pid = process.stdout.readline().split()
        assert Path(folder).exists()
        process.kill()
    wait(lambda: not Path(folder).exists())
    # It has another parent now, which may not be in a hurry to read its exit status.
    wait(lambda: not Path(f"/proc/{pid}").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text())


# -- at once


def test_several_boards_and_threads(server, tmp_path):
    (tmp_path / "x").write_bytes(bytes(1 << 20))

    def use(number: int) -> str:
        with parse_board(server.url()) as board:
            board.check()
            board.push([tmp_path / "x"], f"{board.folder}/batch")
            done = board.run(["ls", f"{board.folder}/batch"], SOON, b"")
            assert done.stdout == b"x\n"
            return board.folder

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(use, range(4)))) == 4


def test_one_board_in_several_threads(board):
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda number: board.run(["echo", str(number)], SOON).stdout, range(12)))
    assert done == [f"{number}\n".encode() for number in range(12)]
