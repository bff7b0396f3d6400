"""What compiling for LiteRT consists of, a step a file.

A path as a module (:mod:`.module`), whether the converter knows its operations
(:mod:`.supported`), its conversion (:mod:`.convert`) and quantisation (:mod:`.quantise`) in
processes of their own (:mod:`.workers`), and many paths in one file (:mod:`.merge`).
"""
