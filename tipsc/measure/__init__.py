"""Measuring with the standard library only: it also runs on a device, where pydantic is not.

:mod:`tipsc.measure.loop` times calls, :mod:`tipsc.measure.pinning` holds the thread on cores, and
:mod:`tipsc.measure.facts` reads what the system tells. :mod:`tipsc.profile` gives their results
types that are checked.
"""
