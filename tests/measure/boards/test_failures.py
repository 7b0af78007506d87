"""What ssh's messages mean: those of versions and systems that the tests' own server does not cause."""

from __future__ import annotations

import pytest

from hwnas_surrogate.measure.boards.failures import explain, last_line


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ("ssh: Could not resolve hostname pi: Temporary failure in name resolution", "its name is unknown here"),
        ("ssh: connect to host pi port 22: Operation timed out", "it does not answer: check"),
        ("ssh: connect to host pi port 22: No route to host", "there is no way to it"),
        ("ssh: connect to host pi port 22: Network is unreachable", "there is no way to it"),
        ("Timeout, server pi not responding.", "it does not answer any more"),
        ("client_loop: send disconnect: Broken pipe", "it closed the connection"),
        ("Connection to pi closed by remote host.", "it closed the connection"),
        ("Connection reset by 192.168.1.7 port 22", "it closed the connection"),
        ("Received disconnect from pi port 22:2: Too many authentication failures", "after too many keys"),
        (
            "Unable to negotiate with pi port 22: no matching host key type found. Their offer: ssh-rsa",
            "Their offer: ssh",
        ),
        ("Bad owner or permissions on /home/me/.ssh/config", "ssh can't use its config file: Bad owner"),
        ("\nsomething new.\n\n", "something new"),
        ("", "ssh ended without a message"),
    ],
)
def test_messages(messages, reason):
    assert reason in explain(messages, "pi")


def test_what_to_type_is_part_of_the_reason():
    assert "`ssh-copy-id -p 2222 pi`" in explain("pi@pi: Permission denied (publickey,password).", "-p 2222 pi")
    assert "`ssh -p 2222 pi`" in explain(
        "No ED25519 host key is known for pi.\nHost key verification failed.", "-p 2222 pi"
    )


def test_a_changed_key_without_details():
    why = explain("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "pi")
    assert "`ssh-keygen -R HOST`" in why


def test_a_changed_key():
    why = explain(
        "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nOffending ED25519 key in /home/my me/known_hosts:7\n"
        "Host key for [pi]:2222 has changed and you have requested strict checking.\nHost key verification failed.",
        "pi",
    )
    assert "`ssh-keygen -f '/home/my me/known_hosts' -R '[pi]:2222'`" in why


def test_the_last_line():
    assert last_line("first\n  second. \n\n") == "second"
    assert len(last_line("x" * 1000)) == 300
