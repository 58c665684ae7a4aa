"""The proof: every backend's numbers, recorded in a process of its own, held to a float64 NumPy oracle.

Read :mod:`isostyle.conformance.oracle.engine` first, the whole computation with its gradients by hand. :mod:`.cases` says what is
computed, :mod:`.record` has one backend compute it and writes a trace, :mod:`.compare` judges traces by :mod:`.tolerances`.
"""
