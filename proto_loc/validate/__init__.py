"""``loc validate``: proves the whole platform end to end, from the load to the AI's answer.

A step is a function that takes the :class:`~proto_loc.validate.proof.Proof` and yields findings, as
the checks of :mod:`proto_loc.doctor` do; some steps are those checks. To add one, write it in the
module of its subject and name it in :data:`proto_loc.validate.steps.STEPS`.
"""
