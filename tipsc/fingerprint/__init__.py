"""What a result depends on, as digests: models, callables of the user's, and code.

A stage of a build is found again by a key over all that its result depends on, so what is left out
of a key is silently computed from something else. The rules:

- A value counts by its content: numbers, text, containers, tensors, and objects by their type and
  attributes. Addresses, order of sets and names of temporary things do not count.
- A function of the user's counts by its compiled code, its defaults, what it encloses, the values
  of the names that it reads from its module, and the files of the user's modules that it imports.
- A file of the user's counts by its syntax tree, together with the files of the user's own that it
  imports: comments and layout do not count, everything else does.
- What a package brings counts by name and version of the package.
- A model counts by the operations that its forward pass consists of where it can be traced (see
  :meth:`tipsc.convert.capture.Program.operations`), else by its class and attributes;
  and by all its tensors, those that are in no state dict among them.
"""
