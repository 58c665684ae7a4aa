"""The proof: every backend's numbers, recorded in a process of its own, held to a float64 NumPy oracle.

Read :mod:`.oracle.engine` first: the whole computation, with its gradients by hand. Then :mod:`.cases` says what is computed,
:mod:`.kinds` how, and within which tolerance. :mod:`.record` has one backend compute the cases and writes a trace;
:mod:`.compare` judges traces; :mod:`.report` and :mod:`.page` print what it found.
"""
