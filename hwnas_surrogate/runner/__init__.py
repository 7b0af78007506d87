"""What runs where networks are measured: on this host and on boards.

Its modules need the standard library, numpy and a runtime only, and Python 3.9. :mod:`hwnas_surrogate.measure.boards`
joins them into one file, ``run.py``, that a board needs nothing else for. So they import nothing of the package but
each other and :mod:`hwnas_surrogate.errors`, and no two of them define the same name.
"""
