"""What a task looks like: pictures of what some paths of the engine say to test examples.

Tasks know nothing of reports: how a task is shown stands in the table of :mod:`.shown`.
"""
