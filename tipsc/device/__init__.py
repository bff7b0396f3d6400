"""Devices: any machine that one can ssh into, with Python and a backend on it.

::

    with connect("ssh://pi@raspberrypi") as device:
        engine = device.push(Path("model.tipsc"))
        answer = device.run("describe", {"backend": "onnxruntime"})

:func:`tipsc.device.client.connect` starts the agent (:mod:`tipsc.device.agent`, one file) over a
link (:mod:`tipsc.device.link`). ``device.push(file)`` gives the blob's SHA-256 and sends it only
once. ``device.run(name, arguments, blobs, ...)`` does a job in a process of its own: `arguments`
are JSON values, `blobs` maps names to what ``push`` gave, and the answer has the job's `result`
and the `files` that it wrote.

**A new job** is a function ``job(arguments, blobs, out, progress) -> result`` and one line in the
table :data:`tipsc.device.jobs.JOBS` (name to ``module:function``). It runs on the device, with
Python 3.10, numpy and the backend, from the archive that :mod:`tipsc.device.archive` makes; a
new package that it needs is named there. `blobs` maps names to files, `out` is a folder whose
files are sent back, ``progress(share, seconds_left)`` is shown to the user.

:mod:`tipsc.device.measuring` has what builds see: the same three calls for this machine and for a
device. This package imports nothing by itself, because it is imported on the device.
"""
