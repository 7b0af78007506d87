"""Addresses of boards, and commands that any login shell reads alike."""

from __future__ import annotations

import subprocess

import pytest

from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.measure.boards import Board, parse_board
from hwnas_surrogate.measure.boards.adb import AdbBoard
from hwnas_surrogate.measure.boards.board import command_line
from hwnas_surrogate.measure.boards.ssh import SshBoard


def test_an_address_names_a_board():
    board = parse_board("ssh://pi@raspberrypi.local:2222")
    assert isinstance(board, SshBoard)
    assert (board.name, board.python, str(board)) == ("raspberrypi.local", "python3", "ssh://pi@raspberrypi.local:2222")
    phone = parse_board("adb://emulator-5554/")
    assert isinstance(phone, AdbBoard)
    assert (phone.name, phone.python, phone.tools) == ("emulator-5554", "", {})


def test_options_follow_the_address():
    board = parse_board("ssh://pi?name=pi%204&python=/opt/c++/bin/python")
    assert (board.name, board.python) == ("pi 4", "/opt/c++/bin/python")
    phone = parse_board("adb://R58?benchmark_model=/data/local/tmp/benchmark_model&name=phone")
    assert isinstance(phone, AdbBoard)
    assert (phone.name, phone.tools) == ("phone", {"benchmark_model": "/data/local/tmp/benchmark_model"})


@pytest.mark.parametrize("host", ["[::1]", "[fe80::1%eth0]", "192.168.1.7", "my_board", "user.name+x@host"])
def test_addresses_and_aliases_are_hosts(host):
    assert str(parse_board(f"ssh://{host}")) == f"ssh://{host}"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("raspberrypi", "a board is ssh://user@host or adb://serial"),
        ("telnet://pi", "unknown kind of board 'telnet'; allowed: 'ssh', 'adb'"),
        ("ssh://", "a board's address is"),
        ("ssh://-oProxyCommand=id", "don't begin with '-'"),
        ("ssh://-l@host", "don't begin with '-'"),
        ("ssh://pi@-host", "don't begin with '-'"),
        ("ssh://a b", "a board's address is"),
        ("ssh://pi@host`id`", "a board's address is"),
        ("ssh://pi@host\n", "a board is ssh://"),
        ("ssh://pi@ho\tst", "a board is ssh://"),
        ("ssh://pi:secret@host", "Passwords are not supported: use a key"),
        ("ssh://host:0", "port must be between 1 and 65535, got 0"),
        ("ssh://host:65536", "port must be between 1 and 65535, got 65536"),
        ("ssh://host:x", "a board's address is"),
        ("ssh://host/folder", "a board is ssh://"),
        ("ssh://host?pyton=x", "unknown option of a board 'pyton'.*Did you mean 'python'"),
        ("ssh://host?benchmark_model=x", "unknown option of a board 'benchmark_model'"),
        ("ssh://host?python=", "option python of board ssh://host.*got ''"),
        ("ssh://host?python=%0Aid", "without control characters"),
        ("ssh://host?python=a&python=b", "has an option twice"),
        ("ssh://host?python=-c", "must begin with a program"),
        ("ssh://host?python=/opt/a!b", "can't be part of a command"),
        ("ssh://host?name=a/b", "a board's name has no '/'"),
        ("adb://", "a phone's address is adb://serial"),
        ("adb://-s", "a phone's address is adb://serial"),
        ("adb://x?config=y", "unknown option of a board 'config'"),
        ("adb://x?folder=/data/a%5Cb", "can't be part of a command"),
    ],
)
def test_other_addresses_are_refused(url, what):
    with pytest.raises(InvalidInputError, match=what):
        parse_board(url)


def test_a_command_is_quoted():
    words = ["echo", "a b", "$(id)", "it's", '"', "*", "~", "a;b", "--x=é"]
    done = subprocess.run(["sh", "-c", command_line(words)], capture_output=True, text=True, check=True)
    assert done.stdout == " ".join(words[1:]) + "\n"


@pytest.mark.parametrize("word", ["a\nb", "a\x00b", "a!b", "a\\b", "=ls", "%self", "", "\x9b"])
def test_words_that_shells_read_differently_are_refused(word):
    with pytest.raises(InvalidInputError, match="can't be part of a command"):
        command_line(["echo", word])


@pytest.mark.parametrize("words", [[], ["-c", "x"]])
def test_a_command_begins_with_a_program(words):
    with pytest.raises(InvalidInputError, match="must begin with a program"):
        command_line(words)


@pytest.mark.parametrize("url", ["ssh://host", "adb://serial"])
def test_a_board_must_be_connected_first(url):
    with parse_board(url) as board, pytest.raises(MeasurementError, match=r"not connected; call check\(\) first"):
        print(board.folder)


@pytest.mark.parametrize("inner", ["", "..", "a/../..", "./a", "a//b"])
def test_folders_are_inside_the_work_folder(inner):
    board = AdbBoard("adb://x", "x")
    board._folder = "/data/work"
    assert Board.inside(board, "/data/work/a/b") == "/data/work/a/b"
    with pytest.raises(InvalidInputError, match="must be inside /data/work, got"):
        board.inside(f"/data/work/{inner}")
    with pytest.raises(InvalidInputError, match="must be inside /data/work, got"):
        board.inside("/etc")
