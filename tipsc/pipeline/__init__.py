"""What ``tipsc build`` does, in order: one file a stage.

Read these files from top to bottom:

1. :mod:`~tipsc.pipeline.original`: the model as it came is scored: what its paths are held against
2. :mod:`~tipsc.pipeline.train`: the whole space is trained, for all targets; not at all where the
   model was trained already
3. :mod:`~tipsc.pipeline.profile`: paths are measured on the device, or a profile of it is taken
4. :mod:`~tipsc.pipeline.fold`: the profile becomes costs that the chain carries, and
   :mod:`~tipsc.pipeline.goal` says which paths are wanted, with what is
   :mod:`~tipsc.pipeline.asked` of them
5. :mod:`~tipsc.pipeline.search`: the chain draws paths by their costs, few of them are evaluated
6. :mod:`~tipsc.pipeline.choose`: which of them ship
7. :mod:`~tipsc.pipeline.narrow`: only these are trained from here on
8. :mod:`~tipsc.pipeline.ship`: their statistics, their quality, and what is their own
   (:mod:`~tipsc.pipeline.own`), by a :mod:`~tipsc.pipeline.ladder`
9. :mod:`~tipsc.pipeline.engine`: compiled, verified against torch (:mod:`~tipsc.pipeline.verify`),
   and :mod:`~tipsc.pipeline.measured` as it ships, beside the original, or tried as far as that
   goes without the device; paths that are not worth it (:mod:`~tipsc.pipeline.worth`) are left out,
   and :mod:`~tipsc.pipeline.goals` are answered
10. :mod:`~tipsc.pipeline.finish`: what only the device can do to an engine
11. :mod:`~tipsc.pipeline.bench`: an engine is measured as it is

:mod:`~tipsc.pipeline.build` runs them in this order, and leaves a :mod:`~tipsc.pipeline.record`,
from which the report is made. A stage is a :class:`~tipsc.pipeline.context.StageSpec`: its file
says what it needs (the stages that it imports), what its result depends on, and what it makes.
:mod:`~tipsc.pipeline.stages` keeps what was made, so that a build that was killed resumes, and a
build for another device trains nothing again. What differs between targets is settled before
anything is done, in :mod:`~tipsc.pipeline.plan`.
"""
