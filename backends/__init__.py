"""How each framework says it: torch_backend, mxnet_backend and paddle_backend, in one order and with the same names.

Read them window beside window. What they share is the specification (:mod:`isostyle.losses`, :mod:`isostyle.network`), not
code: shared code would be shared error, and their agreement would prove nothing.
"""
