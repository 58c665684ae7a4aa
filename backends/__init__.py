"""One folder for each framework: ``torch``, ``mxnet`` and ``paddle``. Read their files side by side.

In each, ``losses`` and ``engine`` are style transfer, ``transform`` is the style networks, and ``__init__`` has the Backend and
all that a framework needs of its environment. The three have the same names in the same order. They share the specification
(:mod:`isostyle.losses`, :mod:`isostyle.network`) and no code: with shared code would come shared errors, which no comparison
shows.
"""
