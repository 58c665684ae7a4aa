"""One folder for each framework: ``torch``, ``mxnet`` and ``paddle``. Read their files side by side.

In each, ``losses`` and ``engine`` are style transfer, ``transform`` is the style networks, and ``__init__`` has the Backend and
all that a framework needs of its environment. The three have the same names in the same order. What they share is the
specification (:mod:`isostyle.losses`, :mod:`isostyle.network`), not code: shared code would be shared error, and agreement would
prove nothing.
"""
