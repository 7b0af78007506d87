"""Does a kill, a full disk or a slow one ever cost a file? ``python -m crash`` tries it on every command that writes.

A trial runs a command over its earlier output and lets ``strace`` kill it, or fail it, at a random system call that
concerns the output. The output must then be the earlier one or the new one, and the next run must finish it and leave
nothing else. It needs Linux and strace, and is not part of the installed package.
"""
